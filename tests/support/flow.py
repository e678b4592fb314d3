"""What the real flow and the naive twin make of a log, as rows of the public views to compare."""

from collections.abc import Sequence

from flows.testing import settle_log
from state.log import Message
from tests.support.rows import rows_of
from tests.twin.rows import LogRecord, Rows
from tests.twin.twin import run


def run_flow(records: Sequence[Message], window_ms: int) -> Rows:
    """The rows of a log as the flow settles it."""
    return rows_of(settle_log(records, window_ms=window_ms).windows, window_ms=window_ms)


def run_twin(records: Sequence[Message], window_ms: int) -> Rows:
    """The rows of a log as the twin settles it."""
    own = [LogRecord(one.seq, one.timestamp_ns, one.subject, one.payload) for one in records]
    return run(own, window_ms=window_ms)
