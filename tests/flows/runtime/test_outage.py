"""The patience of a deployment: it waits long, tells it once, and not for ever."""

import threading

import pytest

from flows.runtime import outage as under_test
from flows.runtime.outage import Outage
from state.errors import ServerUnreachable

SILENT = ServerUnreachable("the server is silent", detail="d", hint="h")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have passed, to be set; and no wait takes any."""
    now = [0.0]
    monkeypatch.setattr("flows.runtime.outage.time.monotonic", lambda: now[0])
    monkeypatch.setattr(threading.Event, "wait", lambda *_: False)
    return now


def test_it_is_told_once(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """A line a second buries the one that says what happened."""
    outage = Outage(threading.Event())
    for second in range(60):
        clock[0] = float(second)
        outage.bear(SILENT)
    outage.answered()
    waits, goes_on = caplog.messages
    assert "the flow waits for its servers, and does not end: the server is silent" in waits
    assert "the flow goes on" in goes_on


def test_it_has_an_end(clock: list[float]) -> None:
    """What waits for ever looks alive to whoever could repair it."""
    outage = Outage(threading.Event(), limit_s=10)
    outage.bear(SILENT)
    clock[0] = 11.0
    with pytest.raises(ServerUnreachable):
        outage.bear(SILENT)


def test_answers_alone_do_not_begin_it_anew(clock: list[float]) -> None:
    """A database that takes the claim and no window would be tried for ever."""
    outage = Outage(threading.Event(), limit_s=10)
    outage.bear(SILENT)
    clock[0] = 6.0
    outage.answered()
    outage.bear(SILENT)
    clock[0] = 11.0
    outage.answered()
    with pytest.raises(ServerUnreachable):
        outage.bear(SILENT)


def test_a_run_that_worked_ends_it(clock: list[float]) -> None:
    """The outage of tomorrow is not the one of today."""
    outage = Outage(threading.Event(), limit_s=10)
    outage.bear(SILENT)
    outage.answered()
    clock[0] = under_test.WORKED_S + 1
    outage.bear(SILENT)


def test_a_stop_ends_the_wait() -> None:
    """Who stops a deployment in an outage waits for neither."""
    stop = threading.Event()
    stop.set()
    Outage(stop).bear(SILENT)
