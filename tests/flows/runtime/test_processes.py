"""Several processes of a flow: the end of one stops no other, and the first failure counts."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from subprocess import PIPE

import pytest

from flows.runtime import child_process
from flows.runtime.child_process import OnReady, Process, await_ready
from flows.runtime.processes import Start, run_processes
from state.errors import ServerUnreachable, ShardReplaced
from tests.support.eventually import eventually

WITHIN_S = 30
RUNS = "import sys; print('ready', flush=True); sys.stdin.read()"
CRASHES = "import os; os.abort()"


@dataclass(slots=True)
class Deployment:
    """Processes that run beside the test."""

    threads: ThreadPoolExecutor
    stop: threading.Event = field(default_factory=threading.Event)
    ready: threading.Event = field(default_factory=threading.Event)
    started: list[Process] = field(default_factory=list)

    def run(self, *codes: str) -> Future[None]:
        """Run a process for each code."""
        starts = [partial(self.start, code) for code in codes]
        return self.run_all(*starts)

    def run_all(self, *starts: Start) -> Future[None]:
        return self.threads.submit(run_processes, starts, self.stop, ready=self.ready.set)

    def start(self, code: str, *, on_ready: OnReady) -> Process:
        command = [sys.executable, "-c", code]
        process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE)
        self.started.append(process)
        await_ready(process, on_ready)
        return process

    def end(self) -> None:
        self.stop.set()
        for process in self.started:
            process.kill()


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    with ThreadPoolExecutor(1) as threads:
        made = Deployment(threads)
        try:
            yield made
        finally:
            made.end()


def ends_with(code: int) -> str:
    return f"raise SystemExit({code})"


def test_the_end_of_one_stops_no_other(
    deployment: Deployment, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that another deployment took over would take all its neighbours down."""
    monkeypatch.setattr(child_process, "RESTART_MIN_S", 0.01)
    running = deployment.run(ends_with(ShardReplaced.exit_code), RUNS)
    eventually(deployment.ready.is_set, within_s=WITHIN_S)
    eventually(lambda: "process 0 of the flow ended with exit code 5" in caplog.text)
    (other,) = [process for process in deployment.started if process.poll() is None]
    other.kill()
    eventually(lambda: len(deployment.started) == 3, within_s=WITHIN_S)
    deployment.stop.set()
    with pytest.raises(ShardReplaced, match="process 0 ended with exit code 5"):
        running.result(WITHIN_S)
    assert [5] == [each.returncode for each in deployment.started if each.returncode > 0]


def test_a_process_that_crashes_comes_again(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of many processes that dies leaves its shards unsettled and everything else healthy."""
    monkeypatch.setattr(child_process, "RESTART_MIN_S", 0.01)
    codes = [CRASHES, RUNS]

    def start(*, on_ready: OnReady) -> Process:
        return deployment.start(codes.pop(0), on_ready=on_ready)

    running = deployment.run_all(start)
    eventually(deployment.ready.is_set, within_s=WITHIN_S)
    deployment.stop.set()
    running.result(WITHIN_S)
    assert [-6, 0] == [process.returncode for process in deployment.started]


def test_the_first_failure_is_what_the_deployment_ends_with(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    """A supervisor that starts a replaced worker again, as after an outage, makes two fight."""
    later = f"{RUNS}; {ends_with(ServerUnreachable.exit_code)}"
    running = deployment.run(ends_with(ShardReplaced.exit_code), later)
    eventually(lambda: "process 0 of the flow ended with exit code 5" in caplog.text)
    last = next(each for each in deployment.started if each.poll() is None)
    child_process.request_stop(last)
    with pytest.raises(ShardReplaced, match="process 0 ended with exit code 5"):
        running.result(WITHIN_S)


def test_it_is_not_ready_when_none_is_left(deployment: Deployment) -> None:
    """Pricing would begin beside a flow that nobody runs."""
    with pytest.raises(ShardReplaced):
        deployment.run(*[ends_with(ShardReplaced.exit_code)] * 2).result(WITHIN_S)
    assert not deployment.ready.is_set()
