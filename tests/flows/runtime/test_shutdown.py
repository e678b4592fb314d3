"""The end of a run: nobody waits for a silent server, and the first failure counts."""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.runtime import shutdown as under_test
from flows.runtime.shutdown import graceful_shutdown
from state.errors import ServerUnreachable, ShardReplaced
from state.window import EmptyWindow
from tests.support.eventually import eventually

WITHIN_S = 30
WINDOW = EmptyWindow(shard=0, window_id=1, first_seq=1, next_seq=2, stream_time_ns=1)
SILENT = ServerUnreachable("the server is silent", detail="d", hint="h")
REPLACED = ShardReplaced("replaced", detail="d", hint="h")


class Server:
    """One that never answers: who asks waits until it is closed."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.asked = threading.Event()

    def ask(self, _window: EmptyWindow) -> Iterable[EmptyWindow]:
        self.asked.set()
        assert self.closed.wait(WITHIN_S), "nobody has cancelled the wait"
        raise SILENT

    def close(self) -> None:
        self.closed.set()


def replaced(_window: EmptyWindow) -> Iterable[EmptyWindow]:
    raise REPLACED


def test_a_failure_cancels_the_waits_of_others_and_is_the_one_that_counts() -> None:
    """Reported as an outage, a replaced worker would claim the shard back from its successor."""
    with ThreadPoolExecutor(1) as threads, pytest.raises(ShardReplaced):
        run_that_is_replaced(threads)


def run_that_is_replaced(threads: ThreadPoolExecutor) -> None:
    """Its commit fails while the results of an earlier window wait for a silent server."""
    server = Server()
    with graceful_shutdown(threading.Event(), [server]) as shutdown:
        publish = shutdown.guarded(lambda _shard: server.ask)(0)
        commit = shutdown.guarded(lambda _shard: replaced)(0)
        waiting = threads.submit(publish, WINDOW)
        eventually(server.asked.is_set)
        with pytest.raises(ShardReplaced):
            commit(WINDOW)
        waiting.result()


def test_a_stop_cancels_the_waits_after_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stop that waits for a database in an outage is a kill by the supervisor in the end."""
    monkeypatch.setattr(under_test, "GRACE_S", 0.05)
    server, stop = Server(), threading.Event()
    with graceful_shutdown(stop, [server]) as shutdown:
        stop.set()
        shutdown.guarded(lambda _shard: server.ask)(0)(WINDOW)
    assert "stopped without waiting for a server: the server is silent" in caplog.text


class Finished(threading.Event):
    """Whether the run has finished; it says when the shutdown begins to wait for that."""

    def __init__(self) -> None:
        super().__init__()
        self.grace_s: float | None = None

    def wait(self, timeout: float | None = None) -> bool:
        self.grace_s = timeout
        return super().wait(timeout)


def test_a_stop_waits_for_what_is_under_way() -> None:
    """What is cancelled too early is done again after the next start."""
    server, stop, finished, answer = Server(), threading.Event(), Finished(), threading.Event()

    def commit(window: EmptyWindow) -> Iterable[EmptyWindow]:
        server.asked.set()
        answer.wait()
        return [] if server.closed.is_set() else [window]

    with ThreadPoolExecutor(1) as threads, graceful_shutdown(stop, [server]) as shutdown:
        shutdown.finished = finished
        under_way = threads.submit(shutdown.guarded(lambda _shard: commit)(0), WINDOW)
        eventually(server.asked.is_set)
        stop.set()
        try:
            eventually(lambda: finished.grace_s is not None)
        finally:
            answer.set()
        assert [WINDOW] == under_way.result()
    assert under_test.GRACE_S == finished.grace_s


def test_an_outage_without_a_stop_is_a_failure() -> None:
    """Swallowed, it would end the deployment as if somebody had asked for that."""
    with pytest.raises(ServerUnreachable), graceful_shutdown(threading.Event(), []):
        raise SILENT


def test_a_stop_hides_no_other_failure() -> None:
    """A deployment that was replaced while it stopped has not stopped in order."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(ShardReplaced), graceful_shutdown(stop, []):
        raise REPLACED
