"""The windows of all markets on their way into the pricing flow.

No position is stored: a start goes a minute back in the stream and resumes from there, for what was
quoted after a window is quoted after it again, and the log takes it once. Promise: from there on
every window comes, in the order of the stream, through disconnections and restarts of the server;
where windows were dropped unread, the reading ends with an error.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from typing_extensions import override

from connectors.nats.background_loop import submit
from connectors.nats.connection import connected, translate_errors
from connectors.nats.read_ahead import read_through_outages
from connectors.nats.subjects import WINDOWS
from state.shard import StreamIdentity
from walras_client.nats.addresses import without_password
from walras_client.nats.connection import Connection
from walras_client.nats.errors import describe
from walras_client.nats.jetstream import NS_PER_S, ask, nanos
from walras_client.nats.reader import Deliveries, Delivery
from walras_schemas import MarketWindow, subjects

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NS_PER_US: Final = 1000
BACK_S: Final = 60
AHEAD_WINDOWS: Final = 1000
AHEAD_BYTES: Final = 32 << 20
BATCH_WINDOWS: Final = 100
IDLE: Final = timedelta(milliseconds=4)
FORGET_AFTER_S: Final = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WindowsSource(FixedPartitionedSource[tuple[str, MarketWindow], None]):
    """The windows of all markets: they lie in one stream, so there is one partition."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    """Set from any thread, it ends the reading at once."""

    @override
    def list_parts(self) -> list[str]:
        return ["windows"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "WindowsPartition":
        return WindowsPartition(WindowsIntake(self.url), self.stop)


class WindowsPartition(StatefulSourcePartition[tuple[str, MarketWindow], None]):
    """Hands what was read ahead to the flow."""

    def __init__(self, intake: "WindowsIntake", stop: threading.Event) -> None:
        self._intake = intake
        self._stop = stop

    @override
    def next_batch(self) -> Iterable[tuple[str, MarketWindow]]:
        if self._stop.is_set():
            raise StopIteration
        return [(window.market, window) for window in self._intake.take(BATCH_WINDOWS)]

    @override
    def next_awake(self) -> datetime | None:
        return None if self._intake.filled else datetime.now(UTC) + IDLE

    @override
    def snapshot(self) -> None:
        """Nothing: a start reads again what it needs."""

    @override
    def close(self) -> None:
        self._intake.close()


class WindowsIntake:
    """What was read ahead: the loop's thread fills it, the flow's empties it."""

    def __init__(self, url: str) -> None:
        self.next_seq = 0
        """The next to read from the stream, once it is known."""
        self.last_read = (0, 0)
        """The sequence of the last message that was read, and the latest time."""
        self._windows: deque[MarketWindow] = deque()
        self._reading: Future[None] = submit(_read(url, self))

    @property
    def filled(self) -> bool:
        """Whether the flow would find a window or a failure now."""
        return bool(self._windows) or self._reading.done()

    def room(self) -> tuple[int, int]:
        """How many windows may be read now, and bytes."""
        return max(0, AHEAD_WINDOWS - len(self._windows)), AHEAD_BYTES

    def put(self, messages: Deliveries) -> None:
        """Add windows; an invalid message is reported and left out."""
        for message in messages:
            try:
                self._windows.append(_window(message))
            except ValueError as invalid:
                subject = message.subject.decode(errors="backslashreplace")
                log.warning("%s: skipped an invalid window: %s", subject, describe(invalid))
        self.next_seq = messages.seqs[-1] + 1
        self.last_read = messages.seqs[-1], max(self.last_read[1], *messages.timestamps_ns)

    def take(self, limit: int) -> list[MarketWindow]:
        """The next windows, at most `limit`; a failure is raised after all that preceded it."""
        failed = self._reading.done()
        windows = [self._windows.popleft() for _ in range(min(limit, len(self._windows)))]
        if failed and not windows:
            self._reading.result()
        return windows

    def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()


def _window(message: Delivery) -> MarketWindow:
    window = MarketWindow.model_validate_json(message.payload)
    if subjects.window(window.market).encode() != message.subject:
        raise ValueError(f"it is of the market {window.market}")
    return window


async def _read(url: str, intake: WindowsIntake) -> None:
    """Read for ever; what ends it is an error that the flow must see."""
    async with connected(url, name="walras windows_in") as nc:
        what = "NATS did not show the windows of the last minute"
        with translate_errors(what, of=without_password(url)):
            stream, intake.next_seq = await _minute_back(nc)
        await read_through_outages(nc, stream, intake)


async def _minute_back(nc: Connection) -> tuple[StreamIdentity, int]:
    """The stream, and the first sequence of its last minute by the server's own clock."""
    info = await ask(nc, f"STREAM.INFO.{WINDOWS}")
    state = info["state"]
    stream = StreamIdentity(name=WINDOWS, created_ns=nanos(info["created"]))
    if not state["messages"]:
        return stream, state["last_seq"] + 1
    # Cut to microseconds, never rounded up: the last window itself must not be left out.
    last_at = EPOCH + timedelta(microseconds=nanos(state["last_ts"]) // NS_PER_US)
    since = last_at - timedelta(seconds=BACK_S)
    return stream, await _first_seq_since(nc, since)


async def _first_seq_since(nc: Connection, since: datetime) -> int:
    """The sequence that a consumer would begin at, which the server finds for us."""
    config = {
        "deliver_policy": "by_start_time",
        "opt_start_time": since.isoformat(),
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": FORGET_AFTER_S * NS_PER_S,
    }
    content = {"stream_name": WINDOWS, "config": config}
    consumer = await ask(nc, f"CONSUMER.CREATE.{WINDOWS}", content)
    return int(consumer["delivered"]["stream_seq"]) + 1
