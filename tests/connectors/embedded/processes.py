"""Processes that use the embedded servers, and which of all processes are running."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

WITHIN_S: Final = 60.0

# Prints where the servers are, and uses them until its input ends.
USER: Final = """
import sys
from pathlib import Path
from connectors.embedded.servers import embedded
with embedded(Path(sys.argv[1]), shards=2) as servers:
    print(servers.nats_url, servers.postgres_dsn, flush=True)
    sys.stdin.read()
"""


class User:
    """Another process that uses the servers of the folder."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", USER, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def servers(self) -> list[str]:
        """The addresses that it was given; waits until it has them."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()

    def end(self) -> None:
        """Let it stop in order."""
        self.process.communicate(timeout=WITHIN_S)

    def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        self.process.kill()
        self.process.communicate(timeout=WITHIN_S)


@contextmanager
def user_of(root: Path) -> Iterator[User]:
    user = User(root)
    try:
        yield user
    finally:
        user.kill()


def running(root: Path) -> dict[int, str]:
    """Supervisors and servers of the folder by process id."""
    return {
        process.pid: process.name() for process in psutil.process_iter() if _belongs(process, root)
    }


def servers_running(root: Path) -> list[str]:
    """Names of the two servers, if they are running."""
    return sorted(name for name in running(root).values() if not name.startswith("python"))


def supervisor_of(root: Path) -> int:
    return int((root / "supervisor.pid").read_text())


def gone(root: Path) -> bool:
    return not running(root)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fails at the deadline."""
    deadline_at_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_at_s, (
            f"the condition did not hold within {WITHIN_S:.0f} s"
        )
        time.sleep(0.05)


def _belongs(process: psutil.Process, root: Path) -> bool:
    """Whether it is a supervisor or a server (not a server's own child) of the folder."""
    try:
        words = process.cmdline()
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and any(word == str(root) or word.startswith(f"{root}/") for word in words)
            and words[1:3] != ["-W", "ignore"]
            and not _is_backend(process)
        )
    except psutil.Error:
        return False


def _is_backend(process: psutil.Process) -> bool:
    """Whether Postgres has just forked it: for a moment it has the command line of its parent."""
    parent = process.parent()
    return parent is not None and "postgres" == parent.name() == process.name()
