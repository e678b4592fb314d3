"""A process beside the first one of a deployment: how it ends, and that it comes again."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import DEVNULL, PIPE

import pytest

from flows.runtime import child_process
from flows.runtime.child_process import Process, keep_running
from state.errors import ServerUnreachable
from tests.support.eventually import eventually

WITHIN_S = 30

# Its work fails at once, while its parent still runs and requests nothing.
FAILS = """
import sys
from flows.runtime import child_process
from state.errors import ServerUnreachable

def work(task, stop):
    raise ServerUnreachable("gone", detail=task, hint="wait")

sys.exit(child_process.child_main("a child", str, work))
"""
WAITS = FAILS.replace(
    'raise ServerUnreachable("gone", detail=task, hint="wait")',
    "child_process.report_ready(); stop.wait()",
)
DEAF = "import signal; print('ready', flush=True); signal.pause()"
CRASHES = "import os; os.abort()"


def run_code(code: str) -> Process:
    """A process whose output nobody needs."""
    return subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=DEVNULL)


@contextmanager
def child(code: str) -> Iterator[Process]:
    """A process with a task, gone after the block."""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(b'"server"\n')
            process.stdin.flush()
            yield process
        finally:
            process.kill()


def is_ready(process: Process) -> bool:
    """Wait until it is ready; False when it ended before."""
    assert process.stdout is not None
    return process.stdout.readline() == child_process.READY


def in_background(work: Callable[[], object]) -> threading.Thread:
    """Work that may hang for ever without holding up the tests."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_failure_is_reported_by_its_exit_code() -> None:
    """A child that is aborted on its way out looks like a crash of the interpreter."""
    with child(FAILS) as process:
        assert process.stderr is not None
        assert ServerUnreachable.exit_code == process.wait(WITHIN_S)
        assert b"a child: gone: server. wait.\n" == process.stderr.read()


def test_it_ends_with_its_parent() -> None:
    """A child that outlives a killed deployment writes beside its successor."""
    with child(WAITS) as process:
        assert is_ready(process)
        child_process.request_stop(process)
        assert 0 == process.wait(WITHIN_S)


def test_a_process_that_does_not_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment that waits for a hung process for ever is killed by its own supervisor."""
    monkeypatch.setattr(child_process, "STOP_DEADLINE_S", 0.1)
    with child(DEAF) as process:
        assert is_ready(process)
        in_background(lambda: child_process.end(process))
        eventually(lambda: process.poll() is not None)
        assert -signal.SIGKILL == process.returncode


def test_a_crashed_process_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that died in the night must not leave its shards alone until somebody looks."""
    monkeypatch.setattr(child_process, "RESTART_MIN_S", 0.01)
    codes, started, stop = [CRASHES, CRASHES, WAITS], list[Process](), threading.Event()

    def start() -> Process:
        started.append(run_code(codes[len(started)]))
        return started[-1]

    keeper = in_background(lambda: keep_running(start, stop, name="it"))
    eventually(lambda: len(started) == 3, within_s=WITHIN_S)
    assert started[2].poll() is None
    stop.set()
    eventually(lambda: not keeper.is_alive(), within_s=WITHIN_S)
    assert [-signal.SIGABRT, -signal.SIGABRT] == [each.returncode for each in started[:2]]


def test_a_stop_ends_the_pause_before_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment would take half a minute to stop whenever a process of it keeps crashing."""
    monkeypatch.setattr(child_process, "RESTART_MIN_S", 3600)
    monkeypatch.setattr(child_process, "RESTART_MAX_S", 3600)
    stop, crashed = threading.Event(), run_code(CRASHES)
    keeper = in_background(lambda: keep_running(lambda: crashed, stop, name="it"))
    eventually(lambda: crashed.returncode is not None, within_s=WITHIN_S)
    stop.set()
    eventually(lambda: not keeper.is_alive(), within_s=WITHIN_S)


def test_a_final_exit_code_is_no_crash() -> None:
    """A worker that was replaced and comes again takes the shard back from its successor."""
    code, stop, ended = "raise SystemExit(5)", threading.Event(), list[int]()

    def keep() -> None:
        ended.append(keep_running(lambda: run_code(code), stop, name="it", final_codes={5}))

    in_background(keep)
    try:
        eventually(lambda: ended, within_s=WITHIN_S)
    finally:
        stop.set()
    assert [5] == ended
