"""Messages on their way into a stream: many in flight, each until the server acknowledges it.

Promise: what `publish` returned for is in the stream; with a message id it is there once, whatever
was sent again within the stream's duplicate window.
"""

import asyncio
from typing import Final

from nats.js.api import Header
from nats.js.errors import APIError

from walras_client.nats.connection import Connection
from walras_client.nats.errors import NoReply
from walras_client.nats.publisher import MSG_ID, PubAck, read_ack

IN_FLIGHT: Final = 1024
ACK_DEADLINE_S: Final = 5.0
WRONG_LAST_SEQUENCE: Final = {10071, 10164}
"""The server's codes for a message that does not follow the one that its sender expects."""


class Publisher:
    """Publishes over one connection, with a bound on what is not acknowledged yet."""

    def __init__(self, nc: Connection, *, in_flight: int = IN_FLIGHT) -> None:
        self._nc = nc
        self._slots = asyncio.Semaphore(in_flight)

    async def publish(self, subject: str, payload: bytes, *, msg_id: str | None) -> PubAck:
        """Send one message and wait until it is in its stream; without an id it may repeat."""
        return await (await self.publish_async(subject, payload, msg_id=msg_id))

    async def publish_async(
        self, subject: str, payload: bytes, *, msg_id: str | None, last_seq: int | None = None
    ) -> asyncio.Future[PubAck]:
        """Send one message once a slot is free; its ack comes within a deadline, or an error.

        With `last_seq` it is refused (`is_behind`) unless the last on its subject, as the stream
        has that, has this sequence; 0 stands for none there.
        """
        headers = {} if msg_id is None else {MSG_ID: msg_id}
        if last_seq is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value] = str(last_seq)
        return await self._send(subject, payload, headers)

    async def publish_after(self, subject: str, payload: bytes, *, last_seq: int) -> PubAck:
        """Send one message behind the last one, and wait until it is in its stream."""
        return await (await self.publish_async(subject, payload, msg_id=None, last_seq=last_seq))

    async def _send(
        self, subject: str, payload: bytes, headers: dict[str, str]
    ) -> asyncio.Future[PubAck]:
        await self._slots.acquire()
        try:
            ack = await self._nc.request_async(subject, payload, read=read_ack, headers=headers)
        except BaseException:
            self._slots.release()
            raise
        deadline = asyncio.get_running_loop().call_later(ACK_DEADLINE_S, _expire, ack)

        def release(_: object) -> None:
            deadline.cancel()
            self._slots.release()

        ack.add_done_callback(release)
        return ack


def is_behind(failure: BaseException) -> bool:
    """Whether a message was refused because it does not follow the one that its sender expects."""
    return isinstance(failure, APIError) and failure.err_code in WRONG_LAST_SEQUENCE


def _expire(ack: asyncio.Future[PubAck]) -> None:
    if not ack.done():
        ack.set_exception(NoReply(ACK_DEADLINE_S))
