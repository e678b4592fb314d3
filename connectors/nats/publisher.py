"""Messages on their way into a stream: many in flight, each until the server has acknowledged it.

Promise: what `publish` returned for is in the stream, once, whatever was sent again: the message id
decides, within the stream's duplicate window.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Self

import msgspec
import uuid_utils
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError
from nats.js.api import Header
from nats.js.errors import APIError

from connectors.nats.connection import Line, connected
from state.window import OutboundMessage

IN_FLIGHT = 1024
ACK_DEADLINE_S = 5.0
NO_RESPONDERS = "503"

BATCH_MAX = 1000
BATCH_ID = "Nats-Batch-Id"
BATCH_SEQUENCE = "Nats-Batch-Sequence"
BATCH_COMMIT = "Nats-Batch-Commit"
MSG_ID = Header.MSG_ID.value


class NoAcknowledgement(NatsError):
    """The server did not say within the deadline that a message is in its stream."""

    def __str__(self) -> str:
        return f"no acknowledgement within {ACK_DEADLINE_S:.0f} s"


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where a message lies: its stream and its sequence there."""

    stream: str
    seq: int
    duplicate: bool
    """True when an earlier message with the same id is the one that lies there."""


class Outbox:
    """Publishes over one connection and matches the acknowledgements."""

    def __init__(self, nc: Line, *, in_flight: int = IN_FLIGHT) -> None:
        self._nc = nc
        self._inbox = nc.new_inbox()
        self._slots = asyncio.Semaphore(in_flight)
        self._numbers = count()
        self._unacknowledged: dict[str, asyncio.Future[Receipt]] = {}

    async def __aenter__(self) -> Self:
        self._subscription = await self._nc.subscribe(
            f"{self._inbox}.*", cb=self._settle, pending_msgs_limit=0, pending_bytes_limit=0
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._nc.is_closed:
            await self._subscription.unsubscribe()

    async def publish(self, subject: str, payload: bytes, *, msg_id: str) -> Receipt:
        """Send one message and wait until it is in its stream."""
        return await (await self.post(subject, payload, msg_id=msg_id))

    async def post(self, subject: str, payload: bytes, *, msg_id: str) -> asyncio.Future[Receipt]:
        """Send one message once a slot is free; the receipt comes, or tells why not, in time."""
        return await self._post(subject, payload, {MSG_ID: msg_id})

    async def post_batch(
        self, messages: Sequence[OutboundMessage], *, after: int | None = None
    ) -> asyncio.Future[Receipt]:
        """Send up to `BATCH_MAX` messages that enter their stream together or not at all.

        There is one receipt, of the last. A batch with a message that is there already is refused
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
        return await self._post(last.subject, last.payload, headers)

    async def _post(
        self, subject: str, payload: bytes, headers: dict[str, str]
    ) -> asyncio.Future[Receipt]:
        await self._slots.acquire()
        number = str(next(self._numbers))
        receipt = self._unacknowledged[number] = self._receipt(number)
        try:
            reply = f"{self._inbox}.{number}"
            await self._nc.publish(subject, payload, reply=reply, headers=headers)
        except NatsError as failure:
            receipt.set_exception(failure)
        return receipt

    def _receipt(self, number: str) -> asyncio.Future[Receipt]:
        """A receipt that frees its slot when it is settled, and is settled within the deadline."""
        loop = asyncio.get_running_loop()
        receipt: asyncio.Future[Receipt] = loop.create_future()
        deadline = loop.call_later(ACK_DEADLINE_S, _expire, receipt)

        def release(_: object) -> None:
            deadline.cancel()
            del self._unacknowledged[number]
            self._slots.release()

        receipt.add_done_callback(release)
        return receipt

    async def _settle(self, ack: Msg) -> None:
        number = ack.subject.rpartition(".")[2]
        receipt = self._unacknowledged.get(number)
        if receipt is None or receipt.done():
            return  # its deadline has passed: the sender was told, and may have sent it again
        try:
            receipt.set_result(_receipt_of(ack))
        except (APIError, NoRespondersError) as refusal:
            receipt.set_exception(refusal)


@asynccontextmanager
async def open_outbox(url: str, *, name: str, in_flight: int = IN_FLIGHT) -> AsyncIterator[Outbox]:
    """An outbox over a connection of its own."""
    async with (
        connected(url, name=name) as nc,
        Outbox(nc, in_flight=in_flight) as outbox,
    ):
        yield outbox


def _frame(message: OutboundMessage, batch_id: str, number: int) -> bytes:
    """A message of a batch in the words of the NATS protocol; nobody answers it."""
    head = (
        f"NATS/1.0\r\n{BATCH_ID}: {batch_id}\r\n{BATCH_SEQUENCE}: {number}\r\n"
        f"{MSG_ID}: {message.msg_id}\r\n\r\n"
    )
    length = len(head) + len(message.payload)
    command = f"HPUB {message.subject} {len(head)} {length}\r\n{head}"
    return b"%b%b\r\n" % (command.encode(), message.payload)


def _expire(receipt: asyncio.Future[Receipt]) -> None:
    if not receipt.done():
        receipt.set_exception(NoAcknowledgement())


def _receipt_of(ack: Msg) -> Receipt:
    if ack.headers and ack.headers.get(Header.STATUS) == NO_RESPONDERS:
        raise NoRespondersError
    told = msgspec.json.decode(ack.data)
    if "error" in told:
        raise APIError.from_error(told["error"])
    return Receipt(stream=told["stream"], seq=told["seq"], duplicate=told.get("duplicate", False))
