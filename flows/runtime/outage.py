"""An outage that the flow itself gave up on: the deployment waits, and runs the flow anew.

Promise: told once when it begins and once when both servers answer again; the waits between two
attempts grow up to a second; after `LIMIT_S` without a run that worked, it is raised.
"""

import logging
import threading
import time
from typing import Final

from state.errors import ServerUnreachable

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 1.0
LIMIT_S: Final = 3600.0
WORKED_S: Final = 600.0
"""Longer than anything inside a run waits: such a run has done its work for a time."""

log = logging.getLogger(__name__)


class Outage:
    """Whether, and since when, the flow cannot do its work."""

    def __init__(self, stop: threading.Event, *, limit_s: float = LIMIT_S) -> None:
        self._stop = stop
        self._limit_s = limit_s
        self._since_s: float | None = None
        self._answered_s = time.monotonic()
        self._silent = False
        self._wait_s = FIRST_WAIT_S

    def bear(self, lost: ServerUnreachable) -> None:
        """Wait before the next attempt, no longer than until the stop; raise at the limit."""
        now_s = time.monotonic()
        if self._since_s is None or (not self._silent and now_s - self._answered_s > WORKED_S):
            self._since_s = now_s
        if now_s - self._since_s > self._limit_s:
            raise lost
        if not self._silent:
            self._silent = True
            log.warning("the flow waits for its servers, and does not end: %s", lost)
        self._stop.wait(self._wait_s)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def answered(self) -> None:
        """Both servers answer: a run begins."""
        self._answered_s = time.monotonic()
        self._wait_s = FIRST_WAIT_S
        if self._silent:
            self._silent = False
            log.warning("the flow goes on: its servers answer again")
