"""Windows are cut at the boundaries of stream time, however the batches fall."""

from itertools import chain, pairwise
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.windows import WindowAssigner
from state.log import RawBatch, WindowSlice

WINDOW_NS: Final = 1_000_000
"""Of a window of one millisecond."""


def cut(*batches: list[int], first_seq: int = 1, since_ns: int = 0) -> list[WindowSlice]:
    """The slices of messages with these server times, in batches."""
    step = WindowAssigner(window_ms=1, stream_time_ns=since_ns)
    slices: list[WindowSlice] = []
    for times in batches:
        seqs = range(first_seq, first_seq + len(times))
        columns = [f"s{seq}" for seq in seqs], [str(seq).encode() for seq in seqs]
        slices += step(RawBatch(0, first_seq, times, *columns))
        first_seq += len(times)
    return slices


def shape(slices: list[WindowSlice]) -> list[tuple[int, int, int, bool]]:
    """Of each slice: its window, its first sequence, its length, whether it closes."""
    return [(s.window_id, s.first_seq, len(s.times_ns), s.closes) for s in slices]


def test_a_window_closes_when_a_later_message_arrives() -> None:
    """A window closed by its own last message would not wait for those still to come."""
    times = [0, WINDOW_NS - 1, WINDOW_NS, 3 * WINDOW_NS]
    assert [(0, 1, 2, True), (1, 3, 1, True), (3, 4, 1, False)] == shape(cut(times))


def test_a_batch_that_ends_with_its_window_leaves_it_open() -> None:
    """The next batch may still hold a message of the same window."""
    halves = cut([0, 5], [7, WINDOW_NS])
    assert [(0, 1, 2, False), (0, 3, 1, True), (1, 4, 1, False)] == shape(halves)


def test_a_slice_without_messages_closes_the_window_before() -> None:
    """A boundary that falls between two batches must still close the window."""
    halves = cut([0, 5], [WINDOW_NS])
    assert [(0, 1, 2, False), (0, 3, 0, True), (1, 3, 1, False)] == shape(halves)
    assert [3, 3, 4] == [part.next_seq for part in halves]
    assert [5, 5, WINDOW_NS] == [part.stream_time_ns for part in halves]


def test_time_never_goes_back() -> None:
    """A server clock that is set back must not reopen a window that was paid for."""
    slices = cut([WINDOW_NS + 7, 3, WINDOW_NS + 6], [2])
    assert [(1, 1, 3, False), (1, 4, 1, False)] == shape(slices)
    assert [[WINDOW_NS + 7] * 3, [WINDOW_NS + 7]] == [part.times_ns for part in slices]


def test_a_restart_goes_on_in_the_stream_s_time() -> None:
    """After a restart the clamp must still know the time of what was settled before."""
    [part] = cut([3, 9], first_seq=40, since_ns=5 * WINDOW_NS)
    assert (5, 40, [5 * WINDOW_NS] * 2) == (part.window_id, part.first_seq, part.times_ns)
    assert 42 == part.next_seq


def test_each_message_keeps_its_subject_and_payload() -> None:
    """A column cut at another place than its neighbour gives an agent another's bid."""
    slices = cut([0, WINDOW_NS, WINDOW_NS + 1], [2 * WINDOW_NS])
    assert ["s1", "s2", "s3", "s4"] == list(chain(*(part.subjects for part in slices)))
    assert [b"1", b"2", b"3", b"4"] == list(chain(*(part.payloads for part in slices)))
    assert [1, 2, 0, 1] == [len(part.subjects) for part in slices]


@pytest.mark.parametrize("times", [[0], [WINDOW_NS - 1], [WINDOW_NS], [2 * WINDOW_NS]])
def test_the_first_message_opens_its_own_window(times: list[int]) -> None:
    """Nothing was open before it, so nothing may be closed by it."""
    assert [(times[0] // WINDOW_NS, 1, 1, False)] == shape(cut(times))


@given(
    times=st.lists(st.integers(0, 6 * WINDOW_NS), min_size=1, max_size=30),
    cuts=st.lists(st.integers(1, 30), max_size=6),
)
@settings(max_examples=200, deadline=None)
def test_batches_do_not_matter(times: list[int], cuts: list[int]) -> None:
    """The log gives one sequence of windows, whatever the source happened to read at once."""
    edges = sorted({0, *(edge for edge in cuts if edge < len(times)), len(times)})
    parts = [times[a:b] for a, b in pairwise(edges)]
    assert windows(cut(times)) == windows(cut(*parts))


def windows(slices: list[WindowSlice]) -> list[tuple[int, list[bytes], bool]]:
    """Whole windows: id, payloads, and whether it was closed."""
    whole: list[tuple[int, list[bytes], bool]] = []
    for part in slices:
        if whole and whole[-1][0] == part.window_id:
            assert not whole[-1][2], "a closed window stays closed"
            payloads = [*whole.pop()[1], *part.payloads]
        else:
            payloads = part.payloads
        whole.append((part.window_id, payloads, part.closes))
    return whole
