"""Folders for the servers of one test, whose processes must all be gone after it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.embedded.servers import embedded
from tests.connectors.embedded.processes import eventually, gone
from tests.support.servers import open_folder


@pytest.fixture(scope="session")
def stopped() -> Iterator[Path]:
    """Servers that were started and stopped before, which is quick to copy."""
    with open_folder() as folder:
        with embedded(folder / "home", shards=2):
            pass
        yield folder / "home"


@pytest.fixture
def bare() -> Iterator[Path]:
    """A folder in which nothing was ever started."""
    with open_folder() as folder:
        yield folder / "home"
        eventually(lambda: gone(folder))


@pytest.fixture
def root(bare: Path, stopped: Path) -> Path:
    """A folder in which servers have run before."""
    subprocess.run(["cp", "-a", stopped, bare], check=True)  # noqa: S607 - owners are kept
    return bare


@pytest.fixture
def unrelated(root: Path) -> Iterator[int]:
    """A process of the user that Postgres runs as, unrelated to any server."""
    owner = (root / "postgres").stat().st_uid
    with subprocess.Popen(["sleep", "600"], user=owner) as process:  # noqa: S607 - any will do
        yield process.pid
        process.kill()
