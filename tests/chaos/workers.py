"""`walras up` in processes of its own, under a supervisor that starts another when one has ended.

Promise: how every one of them ended is known, and whether that was an end that it may have. Each is
the first of a process group, of which nothing is left at the end.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Self

from state.errors import ServerUnreachable, ShardReplaced
from tests.support.eventually import eventually
from tests.support.shell import WALRAS

LOOK_AGAIN_S: Final = 0.01
WITHIN_S: Final = 90.0
PAUSE_S: Final = 0.2
"""Before another one is started, where one ended by itself."""


class Fate(Enum):
    """What was done to a worker, which decides how it may end."""

    RUNS = "was left alone"
    KILLED = "was killed"
    STOPPED = "was asked to stop"
    REPLACED = "was replaced"


@dataclass(slots=True)
class Worker:
    """One start of `walras up`."""

    process: subprocess.Popen[bytes]
    output_file: Path
    fate: Fate = Fate.RUNS

    @property
    def output(self) -> str:
        return self.output_file.read_text(errors="replace")

    @property
    def ready(self) -> bool:
        """Whether it had claimed its shards."""
        return "ready\n" in self.output

    @property
    def at_work(self) -> bool:
        """Whether it does what it was started for, and nothing was done to it yet."""
        return self.fate is Fate.RUNS and self.process.poll() is None and self.ready

    def send_signal(self, number: signal.Signals) -> None:
        """Tell the first process alone."""
        self.process.send_signal(number)

    def signal_all(self, number: signal.Signals) -> None:
        """Tell the process and those beside it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def wrong_end(worker: Worker) -> str | None:
    """Why a worker should not have ended as it did, or should have ended; None when all is well."""
    code = worker.process.returncode
    allowed = {
        Fate.RUNS: set(),
        Fate.KILLED: {-signal.SIGKILL},
        Fate.STOPPED: {0},
        Fate.REPLACED: {ShardReplaced.exit_code},
    }[worker.fate]
    if not worker.ready:  # a start has no patience with a server, nor a reaction to signals at once
        allowed = allowed | {ServerUnreachable.exit_code}
        if worker.fate is Fate.STOPPED:
            allowed |= {-signal.SIGTERM}
    if code in allowed:
        return None
    last = (worker.output.splitlines() or ["nothing"])[-3:]
    return (
        f"{worker.output_file.name} {worker.fate.value} and ended with {code}: {' / '.join(last)}"
    )


class Supervisor:
    """Keeps one worker running, until its stop."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.started: list[Worker] = []
        self._environment = dict(environment)
        self._folder = folder
        self._over = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._keep_running, name="supervisor")

    def __enter__(self) -> Self:
        self._start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Make sure that all are gone."""
        self._over.set()
        self._thread.join()
        for worker in self.started:
            worker.signal_all(signal.SIGCONT)
            worker.signal_all(signal.SIGKILL)
            worker.process.wait()

    @property
    def current(self) -> Worker:
        """The one that was started last."""
        return self.started[-1]

    def kill(self) -> None:
        """End the worker without a word."""
        with self._lock:
            self.current.fate = Fate.KILLED
            self.current.send_signal(signal.SIGKILL)

    def restart(self) -> None:
        """Ask the worker to end; the next one is started when it has."""
        with self._lock:
            self.current.fate = Fate.STOPPED
            self.current.send_signal(signal.SIGTERM)

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """The worker stands still for a block."""
        with self._lock:
            sleeper = self.current
            sleeper.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            sleeper.signal_all(signal.SIGCONT)

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """The worker stands still for a block, in which another one is started; then both run."""
        with self._lock:
            sleeper = self.current
            sleeper.fate = Fate.REPLACED
            sleeper.signal_all(signal.SIGSTOP)
            self._start()
        try:
            yield
        finally:
            sleeper.signal_all(signal.SIGCONT)

    def await_ready(self) -> None:
        """Return when the worker has claimed its shards."""
        eventually(lambda: self.current.at_work, within_s=WITHIN_S)

    def await_replaced(self) -> None:
        """Return when all that were replaced have ended, or had time enough to."""
        for worker in self.started:
            if worker.fate is Fate.REPLACED:
                with suppress(subprocess.TimeoutExpired):  # `wrong_end` reports it
                    worker.process.wait(WITHIN_S)

    def stop(self) -> None:
        """Ask the worker to end, give it time to, and start no other."""
        self._over.set()
        self._thread.join()
        self.restart()
        with suppress(subprocess.TimeoutExpired):  # `wrong_end` reports it
            self.current.process.wait(WITHIN_S)

    def _start(self) -> None:
        output_file = self._folder / f"worker-{len(self.started) + 1:03}.log"
        with output_file.open("wb") as out:
            process = subprocess.Popen(
                [WALRAS, "up"],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        self.started.append(Worker(process, output_file))

    def _keep_running(self) -> None:
        while not self._over.wait(LOOK_AGAIN_S):
            with self._lock:
                if self.current.process.poll() is None:
                    continue
                pause_s = PAUSE_S if self.current.fate is Fate.RUNS else 0.0
            if not self._over.wait(pause_s):
                with self._lock:
                    self._start()
