"""Wait for what another thread or process is about to make true."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

WITHIN_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.005

T = TypeVar("T")


def eventually(condition: Callable[[], T], *, within_s: float = WITHIN_S) -> T:
    """The first true answer of `condition`; an `AssertionError` if there is none in time."""
    give_up_at_s = time.monotonic() + within_s
    while not (answer := condition()):
        assert time.monotonic() < give_up_at_s, f"not so within {within_s} s"
        time.sleep(POLL_INTERVAL_S)
    return answer
