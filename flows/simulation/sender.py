"""Commands on their way into the log: many in flight, each counted once it is acknowledged.

Promise: the number in flight is bounded, those that wait for a full log included; one that could
not be submitted ends all, and its error says why.
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
    """Where a message is: its stream and its sequence there."""

    @property
    def stream(self) -> str: ...
    @property
    def seq(self) -> int: ...


Submit = Callable[[Sequence[CommandBase]], Awaitable[Receipt]]
"""Publishes commands as one message, with retries."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One command that is in the log: who sent it and where it is."""

    event_id: str
    sender: str
    shard: int
    seq: int


@dataclass(slots=True)
class SendStats:
    """What was sent and what of it is in the log; may be read while it grows."""

    sent: int = 0
    acknowledged: list[Acknowledged] = field(default_factory=list)
    ack_ns: list[int] = field(default_factory=list)
    """From the sending to the acknowledgement of each, in the order of acknowledgement."""

    @property
    def in_flight(self) -> int:
        """Sent and not acknowledged yet: they may or may not be in the log."""
        return self.sent - len(self.acknowledged)


class BoundedSender:
    """Sends and counts; made by `bounded_sender`, whose block ends when all are acknowledged."""

    def __init__(self, group: asyncio.TaskGroup, stats: SendStats) -> None:
        self._group = group
        self._stats = stats
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def send(self, submit: Submit, command: CommandBase, *, sender: str) -> None:
        """Send once a slot is free; the order of the calls is the order on the wire."""
        await self._slots.acquire()
        self._stats.sent += 1
        self._group.create_task(self._send_one(submit, command, sender))

    async def _send_one(self, submit: Submit, command: CommandBase, sender: str) -> None:
        sent_ns = time.perf_counter_ns()
        receipt = await submit([command])
        self._slots.release()
        self._stats.ack_ns.append(time.perf_counter_ns() - sent_ns)
        self._stats.acknowledged.append(
            Acknowledged(
                event_id=command.event_id,
                sender=sender,
                shard=shard_of(receipt.stream),
                seq=receipt.seq,
            )
        )


@asynccontextmanager
async def bounded_sender(stats: SendStats) -> AsyncIterator[BoundedSender]:
    """Send within the block; it ends once all that was sent is acknowledged."""
    try:
        async with asyncio.TaskGroup() as group:
            yield BoundedSender(group, stats)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
