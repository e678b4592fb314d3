"""A piece of work in a process of its own, so that nothing of the one before weighs on it.

Promise: the process starts fresh (no fork), does the one piece of work and ends; what it raises is
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
class Apart:
    """A process that waits for its work."""

    pid: int
    pool: ProcessPoolExecutor

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it there, beside the caller."""
        return self.pool.submit(work, *args, **kwargs)

    def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do it there, and wait."""
        return self.start(work, *args, **kwargs).result()


@contextmanager
def apart() -> Iterator[Apart]:
    """A fresh process for a block; it has imported nothing yet but this module."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        yield Apart(pool.submit(os.getpid).result(), pool)
