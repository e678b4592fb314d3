"""Run a dataflow until its input ends, and raise what stopped it as itself.

Promise: Bytewax wraps whatever a step raises; callers here see the `WalrasError` inside.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import cluster_main

from state.errors import WalrasError

YOUNG_MAX: Final = 100_000
"""So many objects are made before the collector looks at the young ones: those of some windows."""


def run_flow(flow: Dataflow) -> None:
    """Run `flow` in this process, on one worker; raise the `WalrasError` that stopped it, if any.

    The flows of several processes know nothing of each other: no shard ever needs another one.
    """
    with _few_collections():
        try:
            # The public function that runs a flow built in this process and raises what stopped
            # it, although it is in `testing`: the command `bytewax.run` imports a flow by its name
            # and ends the process. Without addresses it forms no cluster and opens no port.
            cluster_main(flow, [], 0)
        except BytewaxRuntimeError as stopped:
            if (cause := _cause(stopped)) is not None:
                raise cause from stopped
            raise


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


def _cause(stopped: BaseException) -> WalrasError | None:
    """The first `WalrasError` on the chain of causes."""
    cause: BaseException | None = stopped
    while cause is not None and not isinstance(cause, WalrasError):
        cause = cause.__cause__
    return cause
