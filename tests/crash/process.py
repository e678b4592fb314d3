"""Deployments in processes of their own, forked from one that has imported all: there at once."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import psutil
import pytest

from connectors.nats import read_ahead
from connectors.nats import results_publisher as publisher
from connectors.nats.source import NatsSource
from connectors.postgres.writer import LedgerWriters
from flows.runtime import shutdown, worker
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import run_shards, split
from state.errors import WalrasError
from tests.crash.failpoints import worker_that_reports, worker_with
from tests.support.eventually import eventually

BATCH_SIZE: Final = 10
"""Small, so that a window is read in several batches."""
WITHIN_S: Final = 60.0

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.crash.process"])


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the process waits; by default as long as everywhere else."""

    postgres_s: float | None = None
    nats_s: float | None = None
    grace_s: float | None = None


PATIENT: Final = Limits()


class Up:
    """A deployment that runs, stands still or has ended."""

    def __init__(
        self, settings: Settings, folder: Path, failpoint: str | None, limits: Limits
    ) -> None:
        self._output_file = folder / f"{failpoint or 'plain'}-{len(list(folder.iterdir()))}.log"
        arguments = (settings, failpoint, limits, self._output_file)
        self._process = FORKS.Process(target=_run, args=arguments)
        self._process.start()

    @property
    def output(self) -> str:
        """What it wrote on stderr."""
        return self._output_file.read_text() if self._output_file.exists() else ""

    @property
    def runs(self) -> bool:
        return self._process.is_alive()

    @property
    def is_paused(self) -> bool:
        assert self.runs, f"it ended with {self._process.exitcode}: {self.output}"
        return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)

    def wait(self, *, within_s: float = WITHIN_S) -> int:
        """Its exit code, once it has ended by itself."""
        self._process.join(within_s)
        assert self._process.exitcode is not None, (
            f"it still runs after {within_s} s: {self.output}"
        )
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def stop(self, *, within_s: float = WITHIN_S) -> int:
        """Its exit code after a SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def end(self) -> None:
        """Make sure that it is gone."""
        self._process.kill()
        self._process.join()


@contextmanager
def up(
    settings: Settings, folder: Path, failpoint: str | None = None, limits: Limits = PATIENT
) -> Iterator[Up]:
    """A deployment for a block; it is gone after it, whatever became of it."""
    started = Up(settings, folder, failpoint, limits)
    try:
        yield started
    finally:
        started.end()


def await_paused(process: Up) -> None:
    """Return when the process has stopped itself."""
    eventually(lambda: process.is_paused, within_s=WITHIN_S)


def points_reached(settings: Settings, done: Callable[[], bool]) -> list[str]:
    """The points that an undisturbed run in this process passes until it is done, in order."""
    passed: list[str] = []
    stop = threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "NatsSource", partial(NatsSource, batch_size=BATCH_SIZE))
        thread = threading.Thread(
            target=run_shards,
            args=(*split(settings, servers_of(settings)), stop),
            kwargs={"make_worker": worker_that_reports(passed.append, patch)},
        )
        thread.start()
        try:
            eventually(done, within_s=WITHIN_S)
        finally:
            stop.set()
            thread.join(WITHIN_S)
    return passed


def servers_of(settings: Settings) -> Servers:
    """The servers that the settings name."""
    assert settings.nats_url is not None
    assert settings.postgres_dsn is not None
    return Servers(settings.nats_url, settings.postgres_dsn)


def _run(settings: Settings, failpoint: str | None, limits: Limits, said: Path) -> None:
    """A deployment of one process, with a fault in it; its exit code is that of `walras up`."""
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with pytest.MonkeyPatch.context() as patch:
        _limit(patch, limits)
        try:
            (task,) = split(settings, servers_of(settings))
            run_shards(task, stop, make_worker=worker_with(failpoint, patch))
        except WalrasError as failure:
            sys.stderr.write(f"error: {failure}\n")
            sys.exit(failure.exit_code)


def _limit(patch: pytest.MonkeyPatch, limits: Limits) -> None:
    patch.setattr(worker, "NatsSource", partial(NatsSource, batch_size=BATCH_SIZE))
    if limits.postgres_s is not None:
        limited = partial(LedgerWriters, retry_limit_s=limits.postgres_s)
        patch.setattr(worker, "LedgerWriters", limited)
    if limits.nats_s is not None:
        patch.setattr(read_ahead, "OUTAGE_LIMIT_S", limits.nats_s)
        patch.setattr(publisher, "OUTAGE_LIMIT_S", limits.nats_s)
    if limits.grace_s is not None:
        patch.setattr(shutdown, "GRACE_S", limits.grace_s)
