"""The shell of the waiting steps: in order, and nothing after a failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from threading import Event

import pytest

from operators.keyed import OrderedAsyncStep
from state.window import EmptyWindow
from tests.support.eventually import eventually

Shell = OrderedAsyncStep[EmptyWindow, EmptyWindow]


def window(number: int) -> EmptyWindow:
    return EmptyWindow(
        shard=0, window_id=number, first_seq=number, next_seq=number + 1, stream_time_ns=number
    )


def shell_of(step: Callable[[EmptyWindow], Iterable[EmptyWindow]]) -> Shell:
    return OrderedAsyncStep(lambda _first: step)


def test_windows_leave_in_their_order() -> None:
    """A later window that is passed on first is published over the head of an earlier one."""
    shell = shell_of(lambda value: [value])
    out = list(shell.on_batch([window(1), window(2), window(3)])[0])
    out += shell.on_eof()[0]
    assert [1, 2, 3] == [each.window_id for each in out]


def test_nothing_is_begun_after_a_failure() -> None:
    """Were window 2 published and marked, window 1 would never be published."""
    waits, begun = Event(), []

    def step(value: EmptyWindow) -> Iterable[EmptyWindow]:
        begun.append(value.window_id)
        waits.wait()
        raise ConnectionError

    shell = shell_of(step)
    assert [] == list(shell.on_batch([window(1), window(2)])[0])
    waits.set()
    with pytest.raises(ConnectionError):
        eventually(lambda: list(shell.on_notify()[0]))
    with pytest.raises(CancelledError):
        shell.on_eof()
    assert [1] == begun
