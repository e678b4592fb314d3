"""What a run costs the machine: processor time and memory of broker, worker and database.

Promise: the figures are the operating system's own, of each server's process and all it started.
Memory that processes share is divided among them, so that the sum over them counts it once.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

LOOK_AGAIN_S: Final = 1.0
MIB: Final = 1 << 20


def roots(home: Path, worker: int) -> dict[str, int]:
    """The first process of each kind: the servers of the folder `home`, and the worker."""
    return {
        "broker": _pid_in(home / "nats" / "pid"),
        "worker": worker,
        "database": _pid_in(home / "postgres" / "postmaster.pid"),
    }


def cpu_s(kinds: Mapping[str, int]) -> dict[str, float]:
    """Processor seconds so far by kind, also of children that have ended."""
    return {kind: sum(map(_cpu_s, _tree(pid))) for kind, pid in kinds.items()}


def memory_bytes(kinds: Mapping[str, int]) -> dict[str, int]:
    """Memory in use now by kind."""
    return {kind: sum(map(_memory_bytes, _tree(pid))) for kind, pid in kinds.items()}


@dataclass(slots=True)
class Watch:
    """The memory of each kind while a run lasts: now and then a look, and the most of them."""

    kinds: Mapping[str, int]
    began_s: float = field(default_factory=time.perf_counter)
    looks: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def look(self) -> None:
        """Write down the memory in use now."""
        self.looks.append((time.perf_counter() - self.began_s, memory_bytes(self.kinds)))

    @property
    def peak_mib(self) -> dict[str, float]:
        """The most that each kind used at a look."""
        return {kind: max(sizes[kind] for _, sizes in self.looks) / MIB for kind in self.kinds}

    def course_mib(self, kind: str) -> list[tuple[float, float]]:
        """What one kind used at each look: seconds since the start, MiB."""
        return [(at_s, sizes[kind] / MIB) for at_s, sizes in self.looks]


@contextmanager
def watching(kinds: Mapping[str, int]) -> Iterator[Watch]:
    """Look at the memory from a thread beside the block, and once when it ends."""
    watch, ended = Watch(kinds), threading.Event()

    def look_on() -> None:
        while not ended.wait(LOOK_AGAIN_S):
            watch.look()

    thread = threading.Thread(target=look_on, name="watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
        watch.look()


def _pid_in(file: Path) -> int:
    return int(file.read_text().split()[0])


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # it ended while we looked: its parent has its time
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory_bytes(process: psutil.Process) -> int:
    """Its own memory and its share of what it shares; where that is not told, its own alone."""
    try:
        memory = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(memory, "pss", memory.uss))
