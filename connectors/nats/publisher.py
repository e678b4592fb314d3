"""Messages on their way into a stream: many in flight, each until the server acknowledges it.

Promise: what `publish` returned for is in the stream, once, whatever was sent again: the message id
decides, within the stream's duplicate window.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import uuid_utils
from nats.errors import MaxPayloadError
from nats.js.api import Header

from state.window import OutboundMessage
from walras_client.nats.connection import Connection
from walras_client.nats.errors import NoReply
from walras_client.nats.publisher import MSG_ID, PubAck, read_ack

IN_FLIGHT: Final = 1024
ACK_DEADLINE_S: Final = 5.0

BATCH_MAX: Final = 1000
BATCH_ID: Final = "Nats-Batch-Id"
BATCH_SEQUENCE: Final = "Nats-Batch-Sequence"
BATCH_COMMIT: Final = "Nats-Batch-Commit"


class Publisher:
    """Publishes over one connection, with a bound on what is not acknowledged yet."""

    def __init__(self, nc: Connection, *, in_flight: int = IN_FLIGHT) -> None:
        self._nc = nc
        self._slots = asyncio.Semaphore(in_flight)

    async def publish(self, subject: str, payload: bytes, *, msg_id: str) -> PubAck:
        """Send one message and wait until it is in its stream."""
        return await (await self.publish_async(subject, payload, msg_id=msg_id))

    async def publish_async(
        self, subject: str, payload: bytes, *, msg_id: str
    ) -> asyncio.Future[PubAck]:
        """Send one message once a slot is free; its ack comes within a deadline, or an error."""
        return await self._send(subject, payload, {MSG_ID: msg_id})

    async def publish_batch_async(
        self, messages: Sequence[OutboundMessage], *, after: int | None = None
    ) -> asyncio.Future[PubAck]:
        """Send up to `BATCH_MAX` messages that enter their stream together or not at all.

        There is one ack, of the last. A batch with a message that is there already is refused
        whole; so is one whose last message does not come `after` that sequence on its subject (0:
        is not the first there). Source: NATS ADR-50, atomic batch publishing.
        """
        assert 0 < len(messages) <= BATCH_MAX
        for message in messages:
            if len(message.payload) > self._nc.max_payload:
                raise MaxPayloadError
        batch_id = uuid_utils.uuid7().hex
        await self._nc.write(
            _frame(message, batch_id, number) for number, message in enumerate(messages[:-1], 1)
        )
        last = messages[-1]
        headers = {BATCH_ID: batch_id, BATCH_SEQUENCE: str(len(messages)), MSG_ID: last.msg_id}
        headers |= {BATCH_COMMIT: "1"}
        if after is not None:
            headers |= {Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(after)}
        return await self._send(last.subject, last.payload, headers)

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


def _frame(message: OutboundMessage, batch_id: str, number: int) -> bytes:
    """A message of a batch as the NATS protocol has it; nobody acknowledges it."""
    head = (
        f"NATS/1.0\r\n{BATCH_ID}: {batch_id}\r\n{BATCH_SEQUENCE}: {number}\r\n"
        f"{MSG_ID}: {message.msg_id}\r\n\r\n"
    )
    length = len(head) + len(message.payload)
    command = f"HPUB {message.subject} {len(head)} {length}\r\n{head}"
    return b"%b%b\r\n" % (command.encode(), message.payload)


def _expire(ack: asyncio.Future[PubAck]) -> None:
    if not ack.done():
        ack.set_exception(NoReply(ACK_DEADLINE_S))
