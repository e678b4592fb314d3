"""The one backoff that all retries share."""

from collections.abc import Iterator

import pytest

from walras_client.backoff import Backoff


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def waits(backoff: Backoff, clock: Clock) -> Iterator[float]:
    """The waits until the limit, each of which passes at once."""
    while (wait_s := backoff.next_s()) is not None:
        yield wait_s
        clock.now_s += wait_s


def test_waits_double_up_to_the_longest() -> None:
    """A wait that only grows leaves a server that is back unasked for minutes."""
    clock = Clock()
    backoff = Backoff(13, min_s=1, max_s=4, clock=clock)
    assert [1, 2, 4, 4] == list(waits(backoff, clock))


def test_retries_end_at_the_limit() -> None:
    """Without a limit an outage that lasts is an outage that nobody hears of."""
    clock = Clock()
    backoff = Backoff(10, clock=clock)
    assert backoff.next_s() is not None
    clock.now_s += 10
    assert backoff.next_s() is None
    assert 10 == pytest.approx(backoff.elapsed_s)


def test_a_success_starts_anew() -> None:
    """A limit over the sum of all outages would end a deployment that recovered from each."""
    clock = Clock()
    backoff = Backoff(10, min_s=1, clock=clock)
    first = list(waits(backoff, clock))
    retrying = [backoff.is_retrying]
    backoff.reset()
    assert [True, False] == [*retrying, backoff.is_retrying]
    assert first == list(waits(backoff, clock))


def test_jitter_spreads_the_waits() -> None:
    """Agents that all come back in the same instant bring the server down again."""
    drawn = {Backoff(10, min_s=1, jitter=True).next_s() for _ in range(50)}
    assert all(wait_s is not None and 0.5 <= wait_s <= 1 for wait_s in drawn)
    assert len(drawn) > 1
