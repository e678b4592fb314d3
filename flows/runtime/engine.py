"""Run a dataflow until its input ends, and give back the world's failure as what it is.

Bytewax wraps whatever a step raises; callers here see the `WalrasError` that was raised inside.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import cluster_main

from state.errors import WalrasError

YOUNG_MAX: Final = 100_000
"""So many objects are made before the collector looks at the young ones: those of some windows."""


def run_flow(
    flow: Dataflow, *, workers: int = 1, addresses: Sequence[str] = (), process: int = 0
) -> None:
    """Run `flow` on `workers` threads; with `addresses`, as process number `process` of a cluster.

    Raises the `WalrasError` that stopped it, if one did.
    """
    with _few_collections():
        try:
            cluster_main(flow, list(addresses), process, worker_count_per_proc=workers)
        except BytewaxRuntimeError as stopped:
            raise _cause(stopped) from stopped


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for cycles seldom: what a window makes holds none, and dies with it all the same.

    At Python's own threshold of 700 the collector takes a fifth of the worker's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(YOUNG_MAX, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _cause(stopped: BaseException) -> BaseException:
    """The first `WalrasError` on the chain of causes, else the failure as Bytewax gave it."""
    cause: BaseException | None = stopped
    while cause is not None:
        if isinstance(cause, WalrasError):
            return cause
        cause = cause.__cause__
    return stopped
