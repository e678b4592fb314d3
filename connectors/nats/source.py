"""The log on its way into the flow: one partition a shard, read ahead within bounds.

Promise: batches are contiguous from the ledger's `next_seq` (next to read) on, through
disconnections and restarts of the server; the flow never waits for the network, and the network
never runs ahead of the flow by more than a fixed number of messages and bytes.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from connectors.nats.background_loop import submit
from connectors.nats.connection import connected
from connectors.nats.read_ahead import read_through_outages
from connectors.nats.subjects import PublicSubjects, shard_of
from state.log import RawBatch
from state.shard import StreamIdentity
from walras_client.nats.reader import Deliveries

BATCH_SIZE: Final = 2000
BATCH_BYTES: Final = 512 << 10
"""A batch ends with the message that exceeds it: a step works through a batch before the next one
begins, and with many commands in a message many windows would wait in it for their commits."""
AHEAD_MESSAGES: Final = 20_000
AHEAD_BYTES: Final = 32 << 20
IDLE: Final = timedelta(milliseconds=4)

OnRead = Callable[[int, Deliveries], None]
"""Sees the messages of a shard when they were read, in the thread that reads; must not raise."""


def unseen(_shard: int, _messages: Deliveries) -> None:
    """For a source that nobody watches."""


@dataclass(frozen=True)
class NatsSource(FixedPartitionedSource[tuple[str, RawBatch], None]):
    """Where each shard's reading starts and which stream it must be in."""

    url: str
    positions: Mapping[int, int]
    """Shard to the sequence that is next to read."""
    identities: Mapping[int, StreamIdentity]
    batch_size: int = BATCH_SIZE
    until: Mapping[int, int] | None = None
    """Shard to the last sequence to read, after which its partition ends; None reads for ever."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set from any thread, it ends every partition at once."""
    on_read: OnRead = unseen

    @override
    def list_parts(self) -> list[str]:
        """The shards by their numbers, which are also the keys that their batches travel under."""
        return [str(shard) for shard in self.positions]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ShardPartition":
        shard = int(for_part)
        return ShardPartition(
            Prefetcher(
                self.url,
                self.identities[shard],
                next_seq=self.positions[shard],
                on_read=self.on_read,
            ),
            key=for_part,
            batch_size=self.batch_size,
            until=None if self.until is None else self.until[shard],
            stop=self.stop,
        )


class ShardPartition(StatefulSourcePartition[tuple[str, RawBatch], None]):
    """Hands what was read ahead of one shard to the flow."""

    def __init__(
        self,
        prefetcher: "Prefetcher",
        *,
        key: str,
        batch_size: int,
        until: int | None,
        stop: threading.Event,
    ) -> None:
        self._prefetcher = prefetcher
        self._key = key
        self._stop = stop
        self._batch_size = batch_size
        self._until = until

    @override
    def next_batch(self) -> Iterable[tuple[str, RawBatch]]:
        if self._stop.is_set():
            raise StopIteration
        limit = self._batch_size
        if self._until is not None:
            limit = min(limit, self._until + 1 - self._prefetcher.first_seq)
            if limit <= 0:
                raise StopIteration
        batch = self._prefetcher.take(limit)
        return [(self._key, batch)] if batch else []

    @override
    def next_awake(self) -> datetime | None:
        return None if self._prefetcher.filled else datetime.now(UTC) + IDLE

    @override
    def snapshot(self) -> None:
        """Nothing: the ledger is the checkpoint."""

    @override
    def close(self) -> None:
        self._prefetcher.close()


class Prefetcher:
    """What was read ahead of one shard: the loop's thread appends, the flow's thread takes away.

    Neither waits for the other: each column is a list, whose payloads are appended last and taken
    away first.
    """

    def __init__(
        self, url: str, stream: StreamIdentity, *, next_seq: int, on_read: OnRead = unseen
    ) -> None:
        self.first_seq = next_seq
        """The next that the flow takes."""
        self.next_seq = next_seq
        """The next to read from the stream."""
        self._shard = shard_of(stream.name)
        self._public = PublicSubjects(self._shard)
        self._times_ns: list[int] = []
        self._subjects: list[bytes] = []
        self._payloads: list[bytes] = []
        self._latest_ns = 0
        self._on_read = on_read
        self._reading: Future[None] = submit(_read(url, stream, self))

    @property
    def filled(self) -> bool:
        """Whether the flow would find a message or a failure now."""
        return bool(self._payloads) or self._reading.done()

    @property
    def last_read(self) -> tuple[int, int]:
        """The sequence of the last message that was read here, and the latest time; 0 before it."""
        return (self.next_seq - 1, self._latest_ns) if self._latest_ns else (0, 0)

    def put(self, messages: Deliveries) -> None:
        """Add the messages that follow the last one."""
        self._latest_ns = max(self._latest_ns, *messages.timestamps_ns)
        self._on_read(self._shard, messages)
        self._times_ns += messages.timestamps_ns
        self._subjects += messages.subjects
        self._payloads += messages.payloads
        self.next_seq = messages.seqs[-1] + 1

    def take(self, limit: int) -> RawBatch | None:
        """The next messages, at most `limit`; a failure is raised after all that preceded it."""
        failed = self._reading.done()
        if self._payloads:
            return self._cut(limit)
        if failed:
            self._reading.result()
        return None

    def room(self) -> tuple[int, int]:
        """Messages and bytes that may be read now: none until half of what was ahead is taken."""
        messages = AHEAD_MESSAGES - len(self._payloads)
        if messages < AHEAD_MESSAGES // 2:
            return 0, 0
        free_bytes = AHEAD_BYTES - sum(map(len, self._payloads.copy()))
        return (messages, free_bytes) if free_bytes >= AHEAD_BYTES // 2 else (0, 0)

    def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()

    def _count_next(self, limit: int) -> int:
        """How many messages the next batch has: its last one may exceed its bytes."""
        count = 0
        for size in accumulate(map(len, islice(self._payloads, limit))):
            count += 1
            if size >= BATCH_BYTES:
                break
        return count

    def _cut(self, limit: int) -> RawBatch:
        count = self._count_next(limit)
        times_ns, stored = self._times_ns[:count], self._subjects[:count]
        payloads = self._payloads[:count]
        for column in (self._payloads, self._times_ns, self._subjects):
            del column[:count]
        subjects = [self._public[each] for each in stored]
        batch = RawBatch(self._shard, self.first_seq, times_ns, subjects, payloads)
        self.first_seq += count
        return batch


async def _read(url: str, stream: StreamIdentity, prefetcher: Prefetcher) -> None:
    """Read for ever; what ends it is an error that the flow must see."""
    async with connected(url, name=f"walras nats_in {stream.name}") as nc:
        await read_through_outages(nc, stream, prefetcher)
