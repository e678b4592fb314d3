"""What passes when one tries again, and how long to try.

Promise: waits grow, differ by chance so that not all agents come back at once, and end at a limit.
"""

import asyncio
import logging
from collections.abc import Callable
from random import uniform
from time import monotonic
from typing import Final

from nats.errors import (
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NoRespondersError,
)
from nats.errors import Error as NatsError
from nats.js.errors import APIError

BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 1.0
FIRST_WAIT_S: Final = 0.05
LONGEST_WAIT_S: Final = 2.0
NOT_FOUND: Final = 404
SERVERS_FAULT: Final = 500

TROUBLE: Final = (NatsError, TimeoutError)
_LASTING: Final = (
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
)

log = logging.getLogger(__name__)


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


class Patience:
    """With one thing that does not succeed: the waits together have a limit."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since_s: float | None = None
        self._wait_s = FIRST_WAIT_S

    async def bear(self, trouble: Exception) -> None:
        """Wait before the next attempt; raise the trouble when it lasts, or has lasted too long."""
        now_s = asyncio.get_running_loop().time()
        self._since_s = self._since_s or now_s
        pause_s = uniform(self._wait_s / 2, self._wait_s)
        if not is_passing(trouble) or now_s + pause_s - self._since_s > self._limit_s:
            raise trouble
        log.debug("trying again in %.2f s: %s", pause_s, told(trouble))
        await asyncio.sleep(pause_s)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def relieve(self) -> None:
        """It succeeded: the next trouble starts from nothing."""
        self._since_s = None
        self._wait_s = FIRST_WAIT_S


def is_passing(trouble: Exception) -> bool:
    """Whether the same may succeed a little later, as it does after silence and a full disk."""
    if isinstance(trouble, APIError):
        return trouble.code == NOT_FOUND or (trouble.code or 0) >= SERVERS_FAULT
    return not isinstance(trouble, _LASTING)


def told(trouble: Exception) -> str:
    """What an error says of itself, or at least what it is."""
    if isinstance(trouble, APIError):
        return f"{trouble.description} (code {trouble.err_code})"
    if isinstance(trouble, NoRespondersError):
        return "nobody listens there"
    return str(trouble) or type(trouble).__name__
