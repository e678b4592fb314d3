"""Work in a process of its own, so that nothing of the work before slows it down.

Promise: the process starts fresh (no fork), does its work and ends; what it raises is
raised here.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IsolatedProcess:
    """A process that waits for its work."""

    pid: int
    pool: ProcessPoolExecutor

    def submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Start `work` there, beside the caller."""
        return self.pool.submit(work, *args, **kwargs)

    def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `work` there, and wait for it."""
        return self.submit(work, *args, **kwargs).result()


@contextmanager
def isolated_process() -> Iterator[IsolatedProcess]:
    """A fresh process for a block; it has imported nothing yet but this module."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield IsolatedProcess(pool.submit(os.getpid).result(), pool)
