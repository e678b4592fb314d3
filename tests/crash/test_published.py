"""What is looked for in the stream of windows and in live results, and that each fault is seen."""

from typing import Any, Final

import pytest

from tests.crash.due import Content
from tests.crash.listener import Heard, wrong_results
from tests.crash.windows import Window, wrong_windows

KEY: Final = (7, "m1", "a1")
COMMITTED_NS: Final = {7: 100}


def window(window_id: int, market: str = "m1", **content: Any) -> Window:
    return f"0:{window_id}:{market}", {"window_id": window_id, "market": market, **content}


DUE: Final = [window(6), window(7), window(7, "m2"), window(9)]


def test_what_is_due_is_right() -> None:
    """A check that finds fault with everything finds nothing; markets have no order in a window."""
    assert [] == wrong_windows(DUE, DUE)
    assert [] == wrong_windows([DUE[0], DUE[2], DUE[1], DUE[3]], DUE)


@pytest.mark.parametrize(
    ("published", "said"),
    [
        (DUE[1:], "window 0:6:m1 is not there"),
        (DUE[:-1], "window 0:9:m1 is not there"),
        ([*DUE, window(10)], "window 0:10:m1 is not in the ledger"),
        ([*DUE, DUE[3]], "window 0:9:m1 is there 2 times"),
        ([*DUE[:3], window(9, digest="")], "window 0:9:m1 differs from the ledger"),
        ([*DUE[1:3], DUE[0], DUE[3]], "the windows are not in their order"),
    ],
)
def test_a_wrong_stream_is_seen(published: list[Window], said: str) -> None:
    """Each is what another mistake around a crash leaves: kept back, repeated, made up."""
    assert [said] == wrong_windows(published, DUE)


@pytest.mark.parametrize(
    ("heard", "wrong"),
    [
        ([Heard(KEY, 100, {"balance_micros": 5})], 0),
        ([], 0),
        ([Heard(KEY, 100, {"balance_micros": 5}), Heard(KEY, 101, {"balance_micros": 5})], 1),
        ([Heard(KEY, 99, {"balance_micros": 5})], 1),
        ([Heard(KEY, 100, {"balance_micros": 6})], 1),
        ([Heard((7, "m1", "a2"), 100, {"balance_micros": 5})], 1),
        ([Heard((8, "m1", "a1"), 100, {"balance_micros": 5})], 2),
    ],
)
def test_a_wrong_result_is_seen(heard: list[Heard[Content]], wrong: int) -> None:
    """Received twice, before the commit, changed, made up, of a window that nobody committed."""
    assert wrong == len(wrong_results(heard, {KEY: {"balance_micros": 5}}, COMMITTED_NS))
