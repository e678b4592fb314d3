"""How long to wait between retries, and when to give up.

Promise: waits grow, can differ by chance so that not all clients come back at once, and end at a
limit.
"""

from collections.abc import Callable
from random import uniform
from time import monotonic
from typing import Final

BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 1.0


class Backoff:
    """How long to wait before the next retry of one thing, and when to give up.

    Waits double from `min_s` to `max_s`. Retries end `limit_s` after the first failure; with
    `jitter` each wait is drawn between its half and its whole, so that many clients do not come
    back at once. The caller does the waiting, in a coroutine or on an event.
    """

    def __init__(
        self,
        limit_s: float,
        *,
        min_s: float = BACKOFF_MIN_S,
        max_s: float = BACKOFF_MAX_S,
        jitter: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limit_s = limit_s
        self._min_s = min_s
        self._max_s = max_s
        self._jitter = jitter
        self._clock = clock
        self._since_s: float | None = None
        self._wait_s = min_s

    @property
    def is_retrying(self) -> bool:
        """Whether something failed since the start or the last `reset`."""
        return self._since_s is not None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first failure; 0 without one."""
        return 0.0 if self._since_s is None else self._clock() - self._since_s

    def next_s(self) -> float | None:
        """Seconds to wait after a failure, or None when the limit is reached."""
        if self._since_s is None:
            self._since_s = self._clock()
        wait_s = uniform(self._wait_s / 2, self._wait_s) if self._jitter else self._wait_s
        if self.elapsed_s + wait_s > self._limit_s:
            return None
        self._wait_s = min(2 * self._wait_s, self._max_s)
        return wait_s

    def reset(self) -> None:
        """It succeeded: the next failure starts anew."""
        self._since_s = None
        self._wait_s = self._min_s
