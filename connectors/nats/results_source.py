"""The results of closed windows on their way into the pricing flow: one for each market and window.

No position is stored: a start goes a minute back in the stream and reads on from there, for what
was told from a window is told from it again under the same id. Promise: from there on every
result comes, in the order of the stream, through disconnections and restarts of the server; where
results were dropped unread, the reading ends with an error.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from typing_extensions import override

from connectors.nats.background_loop import submit
from connectors.nats.connection import OUTAGE_LIMIT_S, Retry, connected
from connectors.nats.reader import HEARTBEAT_S, SILENCE_S, check_log
from connectors.nats.subjects import RESULTS
from state.shard import StreamIdentity
from walras_client.nats.connection import Connection
from walras_client.nats.errors import Interrupted, describe
from walras_client.nats.jetstream import NS_PER_S, ask, nanos
from walras_schemas import MarketWindow, subjects

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NS_PER_US: Final = 1000
BACK_S: Final = 60
AHEAD_WINDOWS: Final = 1000
BATCH_WINDOWS: Final = 100
ROOM_AGAIN_S: Final = 0.005
IDLE: Final = timedelta(milliseconds=4)
ALL_MARKETS: Final = "window.*"
LAST_DELIVERED: Final = "Nats-Last-Consumer"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ResultsSource(FixedPartitionedSource[tuple[str, MarketWindow], None]):
    """The results of all markets: they lie in one stream, so there is one partition."""

    url: str
    stop: threading.Event = field(default_factory=threading.Event)
    """Set from any thread, it ends the reading at once."""

    @override
    def list_parts(self) -> list[str]:
        return ["results"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ResultsPartition":
        return ResultsPartition(ResultsIntake(self.url), self.stop)


class ResultsPartition(StatefulSourcePartition[tuple[str, MarketWindow], None]):
    """Hands what was read ahead to the flow."""

    def __init__(self, intake: "ResultsIntake", stop: threading.Event) -> None:
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


class ResultsIntake:
    """What was read ahead: the loop's thread fills it, the flow's empties it."""

    def __init__(self, url: str) -> None:
        self._windows: deque[MarketWindow] = deque()
        self._reading: Future[None] = submit(_read(url, self))

    @property
    def filled(self) -> bool:
        """Whether the flow would find a result or a failure now."""
        return bool(self._windows) or self._reading.done()

    @property
    def room(self) -> int:
        """How many results may be read now."""
        return AHEAD_WINDOWS - len(self._windows)

    def put(self, msg: Msg) -> None:
        """Add a result; what is none is told and left out."""
        try:
            self._windows.append(_result(msg))
        except ValueError as strange:
            log.warning("%s: passed over what is no result: %s", msg.subject, describe(strange))

    def take(self, limit: int) -> list[MarketWindow]:
        """The next results, at most `limit`; a failure is raised after all that preceded it."""
        failed = self._reading.done()
        windows = [self._windows.popleft() for _ in range(min(limit, len(self._windows)))]
        if failed and not windows:
            self._reading.result()
        return windows

    def close(self) -> None:
        """Stop reading."""
        self._reading.cancel()


def _result(msg: Msg) -> MarketWindow:
    window = MarketWindow.model_validate_json(msg.data)
    if subjects.window(window.market) != msg.subject:
        raise ValueError(f"it is of the market {window.market}")
    return window


@dataclass(slots=True)
class Place:
    """Where the reading stands in the stream of results."""

    stream: StreamIdentity
    next_seq: int
    """The next to read; before anything was read, the oldest there is."""
    since: str | None
    """The time to begin at; None once a result was read."""

    @property
    def deliver_from(self) -> dict[str, Any]:
        """The beginning, in the words of a consumer's configuration."""
        if self.since is None:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": self.next_seq}
        return {"deliver_policy": "by_start_time", "opt_start_time": self.since}


async def _read(url: str, intake: ResultsIntake) -> None:
    """Read for ever; what ends it is an error that the flow must see."""
    silence = Retry(
        "the results cannot be read",
        hint="Check that nats-server runs; what was missed is read when it is back",
        limit_s=OUTAGE_LIMIT_S,
    )
    async with connected(url, name="walras results_in") as nc:
        place: Place | None = None
        while True:
            try:
                place = place or await _minute_back(nc)
                await check_log(nc, place.stream, next_seq=place.next_seq)
                await _read_on(nc, place, intake, silence)
            except (NatsError, OSError) as trouble:
                await silence.wait(trouble)


async def _minute_back(nc: Connection) -> Place:
    """A minute before the last result, by the server's own clock."""
    info = await ask(nc, f"STREAM.INFO.{RESULTS}")
    held = info["state"]
    stream = StreamIdentity(name=RESULTS, created_ns=nanos(info["created"]))
    if not held["messages"]:
        return Place(stream, next_seq=held["last_seq"] + 1, since=None)
    # Cut to microseconds, never rounded up: the last result itself must not be left out.
    last_at = EPOCH + timedelta(microseconds=nanos(held["last_ts"]) // NS_PER_US)
    since = (last_at - timedelta(seconds=BACK_S)).isoformat()
    return Place(stream, next_seq=held["first_seq"], since=since)


async def _read_on(nc: Connection, place: Place, intake: ResultsIntake, silence: Retry) -> None:
    """Take what the server delivers until it falls silent, or a delivery was lost on the way.

    The consumer lives in the server's memory and ends with the subscription.
    """
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    try:
        await ask(nc, f"CONSUMER.CREATE.{RESULTS}", _consumer(place, inbox))
        delivered = 0
        while True:
            msg = await subscription.next_msg(timeout=SILENCE_S)
            silence.reset()
            if msg.reply:
                delivered += 1
                await _accept(msg, place, intake, delivered)
            elif int((msg.headers or {}).get(LAST_DELIVERED, delivered)) != delivered:
                raise Interrupted(f"{RESULTS}: a delivery was lost")
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()


async def _accept(msg: Msg, place: Place, intake: ResultsIntake, delivered: int) -> None:
    sequence = msg.metadata.sequence
    if sequence.consumer != delivered:
        raise Interrupted(f"{RESULTS}: a delivery was lost")
    while not intake.room:  # noqa: ASYNC110 - the flow takes without waking this loop
        await asyncio.sleep(ROOM_AGAIN_S)
    intake.put(msg)
    place.next_seq, place.since = sequence.stream + 1, None


def _consumer(place: Place, inbox: str) -> dict[str, Any]:
    config = {
        "filter_subject": ALL_MARKETS,
        "deliver_subject": inbox,
        "ack_policy": "none",
        "idle_heartbeat": HEARTBEAT_S * NS_PER_S,
        "mem_storage": True,
        "num_replicas": 1,
    }
    return {"stream_name": RESULTS, "config": config | place.deliver_from}
