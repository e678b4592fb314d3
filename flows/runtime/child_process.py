"""A process beside the first one of a deployment, from its start to its end.

Promise: what it has to know comes on its standard input, and when that input ends, it ends too:
when it is asked to, and also when the first process is killed. An end that was asked for and does
not come is made.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from flows.runtime.logging import configure_logging
from flows.runtime.settings import load_settings
from state.errors import WalrasError

STOP_DEADLINE_S: Final = 30.0

log = logging.getLogger(__name__)

Process = subprocess.Popen[bytes]
T = TypeVar("T")


def start(module: str, task: Any) -> Process:
    """Start `python -m module` and tell it its task."""
    process = subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(task) + b"\n")
    process.stdin.flush()
    return process


def ask_to_stop(process: Process) -> None:
    """End its input."""
    assert process.stdin is not None
    process.stdin.close()


def end(process: Process) -> None:
    """Ask it to stop, and wait until it has."""
    ask_to_stop(process)
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        log.warning("process %d did not stop in %.0f s: killed", process.pid, STOP_DEADLINE_S)
        process.kill()
        process.wait()


def follow(name: str, kind: type[T], work: Callable[[T, threading.Event], None]) -> int:
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


def _stop_at_end_of_input(stop: threading.Event) -> None:
    # Past the buffer of `sys.stdin`: whoever waits in that when the interpreter ends, aborts it.
    while os.read(sys.stdin.fileno(), 1):
        pass
    stop.set()
