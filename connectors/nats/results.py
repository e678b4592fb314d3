"""The results of closed windows on their way into the pricing flow: one for each market and window.

No position is stored: a start goes a minute back in the stream and reads on from there, for what
was told from a window before is told from it again under the same id. Promise: from there on every
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
from typing import Any, Self

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError
from typing_extensions import override

from connectors.nats.api import NS_PER_S, ask, nanos
from connectors.nats.connection import Patience, connected, told
from connectors.nats.loop import start
from connectors.nats.subjects import RESULTS
from connectors.nats.tail import Interrupted, Tail, check_log
from state.shard import StreamIdentity
from walras_schemas import MarketWindow, subjects

BACK_S = 60
AHEAD_WINDOWS = 1000
BATCH_WINDOWS = 100
BATCH_BYTES = 8 << 20
ROOM_AGAIN_S = 0.005
IDLE = timedelta(milliseconds=4)
ALL_MARKETS = "window.*"
NEVER = "0001-01-01"

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
        self._reading: Future[None] = start(_read(url, self))

    @property
    def filled(self) -> bool:
        """Whether the flow would find a result or a failure now."""
        return bool(self._windows) or self._reading.done()

    @property
    def room(self) -> int:
        """How many results may be read now."""
        return AHEAD_WINDOWS - len(self._windows)

    def put(self, _timestamp_ns: int, msg: Msg) -> None:
        """Add a result; what is none is told and left out."""
        try:
            window = MarketWindow.model_validate_json(msg.data)
            if subjects.window(window.market) != msg.subject:
                raise ValueError(f"it is of the market {window.market}")
        except ValueError as strange:
            log.warning("%s: passed over what is no result: %s", msg.subject, told(strange))
        else:
            self._windows.append(window)

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


@dataclass(slots=True)
class Place:
    """Where the reading stands in the stream of results."""

    stream: StreamIdentity
    next_seq: int
    """The next to read; of the results before the first one that is read, the oldest there is."""
    since: str | None
    """The time to begin at; None once a result was read."""


class ResultsTail(Tail):
    """The results of the markets from a place on; those of the agents between them are left out.

    That none is missing shows in the server's count of what it delivered.
    """

    def __init__(self, nc: Client, place: Place, intake: ResultsIntake) -> None:
        super().__init__(nc, place.stream, next_seq=place.next_seq, take=intake.put)
        self._place = place
        self._delivered = 0

    @override
    def _consumer_config(self) -> dict[str, Any]:
        return super()._consumer_config() | {"filter_subject": ALL_MARKETS} | _beginning(self._place)

    @override
    def _accept(self, msg: Msg) -> None:
        ...
