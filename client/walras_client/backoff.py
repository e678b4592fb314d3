"""What passes when one tries again, and how long to try.

Promise: waits grow, differ by chance so that not all agents come back at once, and end at a limit.
"""

import asyncio
import logging
from random import uniform
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
