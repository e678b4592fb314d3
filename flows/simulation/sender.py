"""Commands on their way into the log: many under way, each told once the log has acknowledged it.

Promise: the number that is under way is bounded, those that wait for a full log included; one that
could not be placed ends all, and its error says why.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from connectors.nats.subjects import shard_of
from walras_schemas import CommandBase

IN_FLIGHT: Final = 512


class Receipt(Protocol):
    """Where a message lies: its stream and its sequence there."""

    @property
    def stream(self) -> str: ...
    @property
    def seq(self) -> int: ...


Place = Callable[[Sequence[CommandBase]], Awaitable[Receipt]]
"""Puts commands into the log as one message, sending it again for as long as that has a point."""


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
    acknowledged: list[Acknowledged] = field(default_factory=list)
    ack_ns: list[int] = field(default_factory=list)
    """From the sending to the acknowledgement of each, in the order of acknowledgement."""

    @property
    def under_way(self) -> int:
        """Sent and not acknowledged yet: they may or may not be in the log."""
        return self.sent - len(self.acknowledged)


class Deliveries:
    """Sends and tallies; made by `deliveries`, whose block ends when all are in."""

    def __init__(self, group: asyncio.TaskGroup, tally: Tally) -> None:
        self._group = group
        self._tally = tally
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def send(self, place: Place, command: CommandBase, *, sender: str) -> None:
        """Send once a slot is free; the order of the calls is the order on the wire."""
        await self._slots.acquire()
        self._tally.sent += 1
        self._group.create_task(self._see_through(place, command, sender))

    async def _see_through(self, place: Place, command: CommandBase, sender: str) -> None:
        sent_ns = time.perf_counter_ns()
        receipt = await place([command])
        self._slots.release()
        self._tally.ack_ns.append(time.perf_counter_ns() - sent_ns)
        self._tally.acknowledged.append(
            Acknowledged(
                event_id=command.event_id,
                sender=sender,
                shard=shard_of(receipt.stream),
                seq=receipt.seq,
            )
        )


@asynccontextmanager
async def deliveries(tally: Tally) -> AsyncIterator[Deliveries]:
    """Send within the block; it ends once all that was sent is acknowledged."""
    try:
        async with asyncio.TaskGroup() as group:
            yield Deliveries(group, tally)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
