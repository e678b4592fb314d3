"""The shell of the waiting steps: in order, and nothing after a failure."""

from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future
from threading import Event
from typing import Any

import pytest

from operators import keyed
from operators.keyed import AHEAD, OrderedAsyncStep
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
    ended = Event()

    def step(value: EmptyWindow) -> Iterable[EmptyWindow]:
        if value.window_id == 3:
            ended.wait()
        return [value]

    shell = shell_of(step)
    out = list(shell.on_batch([window(1), window(2), window(3)])[0])
    ended.set()
    out += shell.on_eof()[0]
    assert [1, 2, 3] == [each.window_id for each in out]


def test_nothing_is_begun_after_a_failure() -> None:
    """Were window 2 published and marked, the results of window 1 would never be published."""
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


class WhenAwaited(Future[Any]):
    """Work that nobody does before its result is waited for."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__()
        self._work = work

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            self.set_result(self._work())
        return super().result(timeout)


class LazyThread:
    """In place of the thread of a key: counts what is under way whenever more is handed over."""

    def __init__(self, *, max_workers: int) -> None:
        assert 1 == max_workers
        self.futures: list[WhenAwaited] = []
        self.under_way: list[int] = []

    def submit(self, work: Callable[..., Any], *values: Any) -> WhenAwaited:
        self.futures.append(WhenAwaited(lambda: work(*values)))
        self.under_way.append(sum(not each.done() for each in self.futures))
        return self.futures[-1]


def test_no_more_than_a_few_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a slow database the windows of a whole backlog would pile up in memory."""
    made: list[LazyThread] = []

    def make(*, max_workers: int) -> LazyThread:
        made.append(LazyThread(max_workers=max_workers))
        return made[-1]

    monkeypatch.setattr(keyed, "ThreadPoolExecutor", make)
    shell = shell_of(lambda value: [value])
    out = list(shell.on_batch([window(number) for number in range(1, 8)])[0])
    assert [1, *[AHEAD] * 6] == made[0].under_way
    assert [1, 2, 3, 4, 5] == [each.window_id for each in out]
