"""What every test may ask for, and what no test may find: the contexts of whoever runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.servers"]


@pytest.fixture(scope="session", autouse=True)
def _no_contexts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder))
        yield folder
