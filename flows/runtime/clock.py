"""The clock of the logs, by which every window closes: whether it goes, and how it is set going.

Promise: a clock that has stopped, because the ticks of the server do not come any more, is logged
once and set going by ticks of this process, which change no outcome, until the process ends; the
streams that make ticks are made again. One that is ahead is logged once: nothing can set it back.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from connectors.nats.ticker import ticking
from connectors.nats.topology import FINEST_TICK_MS, make_streams
from flows.runtime.health import Health
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from state.errors import WalrasError

LOOKS: Final = 3
"""In a row that find it standing: the server's own ticks come back a little after an outage."""

log = logging.getLogger(__name__)


@contextmanager
def keeping_clock(settings: Settings, servers: Servers) -> Iterator["Clock"]:
    """The clock for a block, at the end of which ticks of ours end."""
    with ExitStack() as ours:
        yield Clock(settings, servers, ours)


class Clock:
    """Looks at each measurement of the health; ticks itself once the clock has stopped."""

    def __init__(self, settings: Settings, servers: Servers, ours: ExitStack) -> None:
        self._settings = settings
        self._servers = servers
        self._ours = ours
        self._ticks = False
        self._standing = 0
        self._ahead = False

    def look(self, health: Health) -> None:
        """Set the clock going if it stands, and say so; say that it is ahead."""
        self._standing = self._standing + 1 if health.standing else 0
        if self._standing >= LOOKS and not self._ticks:
            self._ticks = True
            self._set_going(health)
        if health.ahead and not self._ahead:
            log.warning("%s", "; ".join(health.ahead))
        self._ahead = bool(health.ahead)

    def _set_going(self, health: Health) -> None:
        log.warning("%s; this process ticks from now on", "; ".join(health.standing))
        tick_ms = min(self._settings.window_ms, FINEST_TICK_MS)
        shards = range(self._settings.shards)
        self._ours.enter_context(ticking(self._servers.nats_url, shards=shards, window_ms=tick_ms))
        try:
            make_streams(
                self._servers.nats_url,
                shards=self._settings.shards,
                max_bytes=self._settings.stream_max_bytes,
                tick_ms=None if tick_ms < FINEST_TICK_MS else FINEST_TICK_MS,
            )
        except WalrasError as failure:
            log.warning("the streams that make ticks could not be made again: %s", failure)
