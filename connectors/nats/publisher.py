"""Messages on their way into a stream: many in flight, each until the server acknowledges it.

Promise: what `publish` returned for is in the stream; with a message id it is there once, whatever
was sent again within the stream's duplicate window.
"""

import asyncio
from typing import Final

from nats.js.api import Header

from walras_client.nats.connection import Connection
from walras_client.nats.errors import NoReply
from walras_client.nats.publisher import MSG_ID, PubAck, read_ack

IN_FLIGHT: Final = 1024
ACK_DEADLINE_S: Final = 5.0


class Publisher:
    """Publishes over one connection, with a bound on what is not acknowledged yet."""

    def __init__(self, nc: Connection, *, in_flight: int = IN_FLIGHT) -> None:
        self._nc = nc
        self._slots = asyncio.Semaphore(in_flight)

    async def publish(self, subject: str, payload: bytes, *, msg_id: str | None) -> PubAck:
        """Send one message and wait until it is in its stream; without an id it may repeat."""
        return await (await self.publish_async(subject, payload, msg_id=msg_id))

    async def publish_async(
        self, subject: str, payload: bytes, *, msg_id: str | None
    ) -> asyncio.Future[PubAck]:
        """Send one message once a slot is free; its ack comes within a deadline, or an error."""
        return await self._send(subject, payload, {} if msg_id is None else {MSG_ID: msg_id})

    async def publish_after(self, subject: str, payload: bytes, *, last_seq: int) -> PubAck:
        """Send one message that is refused unless the last on its subject has that sequence.

        It is the subject under which the stream has it, and 0 stands for none there.
        """
        expected = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(last_seq)}
        return await (await self._send(subject, payload, expected))

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


def _expire(ack: asyncio.Future[PubAck]) -> None:
    if not ack.done():
        ack.set_exception(NoReply(ACK_DEADLINE_S))
