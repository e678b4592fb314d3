"""A process that the deployment's first process starts, keeps running and stops.

Promise: its task comes on its standard input, and when that input ends, it stops: when it is asked
to, and also when the first process is killed. One that does not stop in time is killed.
"""

import logging
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import IO, Any, Final, TypeVar

import msgspec

from flows.runtime.logging import configure_logging
from flows.runtime.settings import load_settings
from state.errors import WalrasError
from walras_client.backoff import Backoff

STOP_DEADLINE_S: Final = 30.0
RESTART_MIN_S: Final = 1.0
RESTART_MAX_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.2
READY: Final = b"ready\n"

log = logging.getLogger(__name__)

Process = subprocess.Popen[bytes]
OnReady = Callable[[], None]
T = TypeVar("T")


def start(module: str, task: Any, *, on_ready: OnReady | None = None) -> Process:
    """Start `python -m module` and give it its task; `on_ready` is called when it reports that."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if on_ready else None,
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(task) + b"\n")
    process.stdin.flush()
    if on_ready:
        await_ready(process, on_ready)
    return process


def await_ready(process: Process, on_ready: OnReady) -> None:
    """Wait in a thread until it reports that it is ready, or ends."""
    assert process.stdout is not None
    threading.Thread(target=_await_ready, args=(process.stdout, on_ready), daemon=True).start()


def _await_ready(output: IO[bytes], on_ready: OnReady) -> None:
    with output:
        if output.readline() == READY:
            on_ready()


def request_stop(process: Process) -> None:
    """End its input."""
    assert process.stdin is not None
    process.stdin.close()


def end(process: Process) -> int:
    """Request its stop and wait for it; its exit code."""
    request_stop(process)
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        log.warning("process %d did not stop in %.0f s: killed", process.pid, STOP_DEADLINE_S)
        process.kill()
    return process.wait()


def keep_running(
    start_process: Callable[[], Process],
    stop: threading.Event,
    *,
    name: str,
    final_codes: Collection[int] = (),
) -> int:
    """Run a process until `stop`, again whenever it crashes; its last exit code.

    One that ends with one of the `final_codes` is not started again.
    """
    backoff = Backoff(math.inf, min_s=RESTART_MIN_S, max_s=RESTART_MAX_S)
    while True:
        process, started_s = start_process(), time.monotonic()
        while process.poll() is None and not stop.wait(POLL_INTERVAL_S):
            pass
        code = end(process)
        if stop.is_set() or code in final_codes:
            return code
        if time.monotonic() - started_s > RESTART_MAX_S:
            backoff.reset()
        wait_s = backoff.next_s() or 0.0  # never None: there is no limit
        log.warning("%s ended with exit code %d, restarting in %.0f s", name, code, wait_s)
        if stop.wait(wait_s):
            return 0


def child_main(name: str, kind: type[T], work: Callable[[T, threading.Event], None]) -> int:
    """Be the process: do the work of the task that comes; the exit code says how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches all; the first process decides
    configure_logging(load_settings())
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=kind)
    stop = threading.Event()
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    try:
        work(task, stop)
    except WalrasError as failure:
        sys.stderr.write(f"{name}: {failure}\n")
        return failure.exit_code
    return 0


def report_ready() -> None:
    """Let the first process know that this one can do its work."""
    with suppress(BrokenPipeError):  # it was killed, and the end of the input says so too
        os.write(sys.stdout.fileno(), READY)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    # Past the buffer of `sys.stdin`: a thread that waits in that aborts the interpreter's end.
    while os.read(sys.stdin.fileno(), 1):
        pass
    stop.set()
