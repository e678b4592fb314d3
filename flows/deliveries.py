"""Commands on their way into the log: many in flight, each sent until the log has acknowledged it.

Promise: a command is sent again with the same event id, so it counts once; a bounded number is
under way at any time, those that wait for a full log included; one that the log takes at no
attempt ends all, and its error says why.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from nats.errors import Error as NatsError

from connectors.nats.client import refusal
from connectors.nats.outbox import Outbox, Receipt
from connectors.nats.subjects import shard_of
from walras_schemas import CommandBase

IN_FLIGHT: Final = 512
RETRY_WAITS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 5.0)
"""The wait after each failed attempt; the attempt after the last of them is the last one."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One command that is in the log: who sent it and where it lies."""

    event_id: str
    sender: str
    shard: int
    seq: int


@dataclass(slots=True)
class Tally:
    """What was sent and what of it is in the log; anyone may look while it grows."""

    sent: int = 0
    sent_again: int = 0
    acknowledged: list[Acknowledged] = field(default_factory=list)
    ack_ns: list[int] = field(default_factory=list)
    """From the first sending to the acknowledgement of each, in the order of acknowledgement."""

    @property
    def under_way(self) -> int:
        """Sent and not acknowledged yet: they may or may not be in the log."""
        return self.sent - len(self.acknowledged)


class Deliveries:
    """Sends commands over one outbox; made by `deliveries`, whose block ends when all are in."""

    def __init__(self, outbox: Outbox, group: asyncio.TaskGroup, tally: Tally) -> None:
        self._outbox = outbox
        self._group = group
        self._tally = tally
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def send(self, subject: str, command: CommandBase, *, sender: str) -> None:
        """Send once a slot is free; the order of the calls is the order on the wire."""
        await self._slots.acquire()
        payload = command.model_dump_json().encode()
        first = await self._outbox.post(subject, payload, msg_id=command.event_id)
        self._tally.sent += 1
        parcel = _Parcel(subject, payload, command.event_id, sender, time.perf_counter_ns())
        self._group.create_task(self._see_through(parcel, first))

    async def _see_through(self, parcel: "_Parcel", first: asyncio.Future[Receipt]) -> None:
        """Wait for the receipt, sending again with growing waits; raise when none ever comes."""
        receipt = first
        for wait_s in (*RETRY_WAITS_S, None):
            try:
                self._file(parcel, await receipt)
            except NatsError as failure:
                if wait_s is None:
                    raise refusal(parcel.subject, failure) from failure
                await asyncio.sleep(wait_s)
                receipt = await self._send_again(parcel)
            else:
                return

    async def _send_again(self, parcel: "_Parcel") -> asyncio.Future[Receipt]:
        self._tally.sent_again += 1
        return await self._outbox.post(parcel.subject, parcel.payload, msg_id=parcel.event_id)

    def _file(self, parcel: "_Parcel", receipt: Receipt) -> None:
        self._slots.release()
        self._tally.ack_ns.append(time.perf_counter_ns() - parcel.sent_ns)
        self._tally.acknowledged.append(
            Acknowledged(
                event_id=parcel.event_id,
                sender=parcel.sender,
                shard=shard_of(receipt.stream),
                seq=receipt.seq,
            )
        )


@dataclass(frozen=True, slots=True)
class _Parcel:
    subject: str
    payload: bytes
    event_id: str
    sender: str
    sent_ns: int


@asynccontextmanager
async def deliveries(outbox: Outbox, tally: Tally) -> AsyncIterator[Deliveries]:
    """Send within the block; it ends once all that was sent is acknowledged."""
    try:
        async with asyncio.TaskGroup() as group:
            yield Deliveries(outbox, group, tally)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
