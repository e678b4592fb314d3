"""The log on its way into the flow: one partition a shard, read ahead within bounds.

Promise: batches are contiguous from the ledger's `next_seq` (next to read) on, through
disconnections and restarts of the server; the flow never waits for the network, and the network
never runs ahead of the flow by more than a fixed number of messages and bytes.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from typing_extensions import override

from connectors.nats.background_loop import submit
from connectors.nats.connection import OUTAGE_LIMIT_S, Retry, connected
from connectors.nats.log_checks import check_read
from connectors.nats.reader import read_log
from connectors.nats.subjects import public_subject, shard_of
from state.errors import LogReplaced
from state.log import RawBatch
from state.shard import StreamIdentity
from walras_client.nats.connection import Connection
from walras_client.nats.reader import Delivery

BATCH_SIZE: Final = 2000
BATCH_BYTES: Final = 512 << 10
"""A batch ends with the message that exceeds it: a step works through a batch before the next one
begins, and with many commands in a message many windows would wait in it for their commits."""
AHEAD_MESSAGES: Final = 20_000
AHEAD_BYTES: Final = 32 << 20
POLL_INTERVAL_S: Final = 0.005
IDLE: Final = timedelta(milliseconds=4)
MISSING_LIMIT_S: Final = 10.0


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

    @override
    def list_parts(self) -> list[str]:
        """The shards by their numbers, which are also the keys that their batches travel under."""
        return [str(shard) for shard in self.positions]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ShardPartition":
        shard = int(for_part)
        return ShardPartition(
            Prefetcher(self.url, self.identities[shard], next_seq=self.positions[shard]),
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
    """What was read ahead of one shard: the loop's thread fills it, the flow's empties it.

    Each of the two counts what it has done itself, so that neither waits for the other.
    """

    def __init__(self, url: str, stream: StreamIdentity, *, next_seq: int) -> None:
        self.first_seq = next_seq
        """The next that the flow takes."""
        self.next_seq = next_seq
        """The next to read from the stream."""
        self._shard = shard_of(stream.name)
        self._prefetched: deque[tuple[int, bytes, bytes]] = deque()
        self._read_bytes = 0
        self._taken_bytes = 0
        self._latest_ns = 0
        self._reading: Future[None] = submit(_read(url, stream, self))

    @property
    def filled(self) -> bool:
        """Whether the flow would find a message or a failure now."""
        return bool(self._prefetched) or self._reading.done()

    @property
    def last_read(self) -> tuple[int, int]:
        """The sequence of the last message that was read here, and the latest time; 0 before it."""
        return (self.next_seq - 1, self._latest_ns) if self._latest_ns else (0, 0)

    def put(self, msg: Delivery) -> None:
        """Add the message that follows the last one."""
        self._latest_ns = max(self._latest_ns, msg.timestamp_ns)
        self._read_bytes += len(msg.payload)
        self.next_seq += 1
        self._prefetched.append((msg.timestamp_ns, msg.subject, msg.payload))

    def take(self, limit: int) -> RawBatch | None:
        """The next messages, at most `limit`; a failure is raised after all that preceded it."""
        failed = self._reading.done()
        if self._prefetched:
            return self._cut(min(limit, len(self._prefetched)))
        if failed:
            self._reading.result()
        return None

    def room(self) -> tuple[int, int]:
        """Messages and bytes that may be read now: none until half of what was ahead is taken."""
        messages = AHEAD_MESSAGES - len(self._prefetched)
        free_bytes = AHEAD_BYTES - (self._read_bytes - self._taken_bytes)
        if messages < AHEAD_MESSAGES // 2 or free_bytes < AHEAD_BYTES // 2:
            return 0, 0
        return messages, free_bytes

    def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()

    def _cut(self, count: int) -> RawBatch:
        taken: list[tuple[int, bytes, bytes]] = []
        size = 0
        while len(taken) < count and size < BATCH_BYTES:
            message = self._prefetched.popleft()
            taken.append(message)
            size += len(message[2])
        timestamps_ns, stored, payloads = map(list, zip(*taken, strict=True))
        subjects = [public_subject(each, shard=self._shard) for each in stored]
        batch = RawBatch(self._shard, self.first_seq, timestamps_ns, subjects, payloads)
        self._taken_bytes += size
        self.first_seq += len(taken)
        return batch


async def _read(url: str, stream: StreamIdentity, prefetcher: Prefetcher) -> None:
    """Read for ever; what ends it is an error that the flow must see."""
    async with connected(url, name=f"walras nats_in {stream.name}") as nc:
        await _read_through_outages(nc, stream, prefetcher)


async def _read_through_outages(
    nc: Connection, stream: StreamIdentity, prefetcher: Prefetcher
) -> None:
    outage = Retry(
        f"the log {stream.name} cannot be read",
        hint="Check that nats-server runs; the flow resumes where it was",
        limit_s=OUTAGE_LIMIT_S,
    )
    missing = Retry(
        f"the log {stream.name} is gone",
        hint="Restore the stream from a backup, or begin with an empty ledger",
        at_limit=LogReplaced,
        limit_s=MISSING_LIMIT_S,
    )
    while True:
        try:
            await nc.until_disconnected(
                _read_on(nc, stream, prefetcher, (outage.reset, missing.reset))
            )
        except NotFoundError as gone:
            await missing.wait(gone)
        except (NatsError, OSError) as error:
            await outage.wait(error)


async def _read_on(
    nc: Connection,
    stream: StreamIdentity,
    prefetcher: Prefetcher,
    resets: Iterable[Callable[[], None]],
) -> None:
    last_seq, at_ns = prefetcher.last_read
    await check_read(nc, stream.name, seq=last_seq, at_ns=at_ns)
    async with read_log(nc, stream, next_seq=prefetcher.next_seq, on_message=prefetcher.put) as log:
        while True:
            messages, max_bytes = await _room(prefetcher)
            await log.pull(messages=messages, max_bytes=max_bytes)
            for reset in resets:
                reset()


async def _room(prefetcher: Prefetcher) -> tuple[int, int]:
    # The flow's thread takes without waking this loop: a full prefetcher is in no hurry.
    while not (room := prefetcher.room())[0]:  # noqa: ASYNC110
        await asyncio.sleep(POLL_INTERVAL_S)
    return room
