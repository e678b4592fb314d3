"""A place for servers of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connectors.embedded.processes import eventually, gone
from tests.servers import open_folder


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder for embedded servers, which must all be gone after the test."""
    with open_folder() as folder:
        yield folder / "home"
        eventually(lambda: gone(folder))
