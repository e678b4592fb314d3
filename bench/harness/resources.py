"""What a run costs the machine: processor time and memory of broker, worker and database.

Promise: the figures are the operating system's own, of each server's process and its descendants.
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

SAMPLE_INTERVAL_S: Final = 1.0
MIB: Final = 1 << 20


def root_pids(home: Path, worker: int) -> dict[str, int]:
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
class MemorySampler:
    """The memory of each kind of process, sampled while a run lasts."""

    kinds: Mapping[str, int]
    began_s: float = field(default_factory=time.perf_counter)
    samples: list[tuple[float, dict[str, int]]] = field(default_factory=list)

    def sample(self) -> None:
        """Record the memory in use now."""
        self.samples.append((time.perf_counter() - self.began_s, memory_bytes(self.kinds)))

    @property
    def peak_mib(self) -> dict[str, float]:
        """The most that each kind used in a sample."""
        return {kind: max(sizes[kind] for _, sizes in self.samples) / MIB for kind in self.kinds}

    def mib_over_time(self, kind: str) -> list[tuple[float, float]]:
        """What one kind used in each sample: seconds since the start, MiB."""
        return [(at_s, sizes[kind] / MIB) for at_s, sizes in self.samples]


@contextmanager
def sampling_memory(kinds: Mapping[str, int]) -> Iterator[MemorySampler]:
    """Sample the memory from a thread beside the block, and once when it ends."""
    sampler, ended = MemorySampler(kinds), threading.Event()

    def poll() -> None:
        while not ended.wait(SAMPLE_INTERVAL_S):
            sampler.sample()

    thread = threading.Thread(target=poll, name="memory", daemon=True)
    thread.start()
    try:
        yield sampler
    finally:
        ended.set()
        thread.join()
        sampler.sample()


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
        return 0.0  # it ended meanwhile: its time is counted with its parent
    return float(times.user + times.system + times.children_user + times.children_system)


def _memory_bytes(process: psutil.Process) -> int:
    """Its own memory and its share of shared memory, where the system counts that."""
    try:
        memory = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(memory, "pss", memory.uss))
