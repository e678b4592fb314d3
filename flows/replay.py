"""Run a log file through the same steps into an empty ledger.

Promise: the same log gives the same digest as the live stream gave, whatever the batches (SEMANTICS
§2). Nothing is published: the results of a replay belong to nobody.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from connectors.files.logfile import read_batches
from connectors.postgres.connection import connect
from connectors.postgres.ledger.shard_row import read_messages
from connectors.postgres.ledger.transaction import claim
from connectors.postgres.migrate import migrate
from connectors.postgres.writer import LedgerWriters
from flows.allocation import build
from flows.runtime.engine import run_flow
from operators.keyed import BatchSink
from state.errors import SettingsError
from state.log import RawBatch
from state.shard import ShardState, StreamIdentity
from state.window import ClosedWindow, Settlement
from walras_schemas import BidStatus

SHARD = 0
# The same for every file, so that a file that cannot be read leaves the database as good as empty.
LOG_FILE = StreamIdentity(name="a log file", created_ns=0)


@dataclass(slots=True)
class ReplayReport:
    """What a replay gave: windows that left a row, the last digest, and the bids' outcomes."""

    windows: int = 0
    digest: str = bytes(32).hex()
    bids: int = 0
    accepted: int = 0
    rejected: int = 0

    def add(self, windows: Iterable[ClosedWindow]) -> None:
        """Count windows that are in the ledger."""
        for window in windows:
            if isinstance(window, Settlement):
                self._add(window)

    def _add(self, window: Settlement) -> None:
        rejected = sum(bid.status is BidStatus.REJECTED for bid in window.bids)
        self.windows += 1
        self.digest = window.digest.hex()
        self.bids += len(window.bids)
        self.rejected += rejected
        self.accepted += len(window.bids) - rejected


def replay(
    path: Path,
    *,
    postgres_dsn: str,
    window_ms: int,
    batch_size: int = 1000,
    on_messages: Callable[[int], None] = lambda _messages: None,
) -> ReplayReport:
    """Replay the log in `path` into the database of `postgres_dsn`, which must hold no ledger yet.

    `on_messages` gets how many were read, batch by batch.

    Raises `SettingsError` when the file cannot be read or the ledger is not empty.
    """
    migrate(postgres_dsn)
    shard = _claim_empty(postgres_dsn, window_ms=window_ms)
    report = ReplayReport()
    batches = read_batches(path, shard=SHARD, batch_size=batch_size, window_ms=window_ms)
    with closing(LedgerWriters(postgres_dsn, {SHARD: shard})) as ledger:
        flow = build(
            source=LogFileSource(_counted(batches, on_messages)),
            shards={SHARD: shard},
            window_ms=window_ms,
            commit=ledger.commit_step,
            publish=lambda _shard: lambda window: [window],
            output=BatchSink(report.add),
        )
        run_flow(flow)
    return report


def _counted(batches: Iterable[RawBatch], on_messages: Callable[[int], None]) -> Iterator[RawBatch]:
    for batch in batches:
        on_messages(len(batch.payloads))
        yield batch


def _claim_empty(postgres_dsn: str, *, window_ms: int) -> ShardState:
    with connect(postgres_dsn) as connection:
        if held := read_messages(connection):
            raise SettingsError(
                "the ledger to replay into is not empty",
                detail=f"it holds {held} messages of a log",
                hint="Give an empty database with --postgres",
            )
        return claim(connection, SHARD, identity=LOG_FILE, window_ms=window_ms)


@dataclass(frozen=True, slots=True)
class LogFileSource(FixedPartitionedSource[tuple[str, RawBatch], None]):
    """The batches of one log file, which can be read once."""

    batches: Iterable[RawBatch]

    @override
    def list_parts(self) -> list[str]:
        return [str(SHARD)]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_LogFilePartition":
        return _LogFilePartition(self.batches)


class _LogFilePartition(StatefulSourcePartition[tuple[str, RawBatch], None]):
    def __init__(self, batches: Iterable[RawBatch]) -> None:
        self._batches = iter(batches)

    @override
    def next_batch(self) -> list[tuple[str, RawBatch]]:
        batch = next(self._batches)  # its StopIteration is Bytewax's end of input
        return [(str(batch.shard), batch)]

    @override
    def snapshot(self) -> None:
        return None
