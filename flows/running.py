"""Run a dataflow until its input ends, and give back the world's failure as what it is.

Bytewax wraps whatever a step raises; callers here see the `WalrasError` that was raised inside.
"""

from collections.abc import Sequence

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import cluster_main

from state.errors import WalrasError


def run_flow(
    flow: Dataflow, *, workers: int = 1, addresses: Sequence[str] = (), process: int = 0
) -> None:
    """Run `flow` on `workers` threads; with `addresses`, as process number `process` of a cluster.

    Raises the `WalrasError` that stopped it, if one did.
    """
    try:
        cluster_main(flow, list(addresses), process, worker_count_per_proc=workers)
    except BytewaxRuntimeError as stopped:
        raise _cause(stopped) from stopped


def _cause(stopped: BaseException) -> BaseException:
    """The first `WalrasError` on the chain of causes, else the failure as Bytewax gave it."""
    cause: BaseException | None = stopped
    while cause is not None:
        if isinstance(cause, WalrasError):
            return cause
        cause = cause.__cause__
    return stopped
