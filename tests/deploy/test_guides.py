"""The programs in the guides run as they stand there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.deploy.compose import HOUSE

_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def programs(guide: str) -> list[str]:
    """The Python of a guide, block by block."""
    return _PYTHON.findall((HOUSE / "docs" / "guides" / guide).read_text())


def test_the_unit_test_of_the_guide_passes(tmp_path: Path) -> None:
    """The first test that somebody copies must not need to be mended."""
    (program,) = programs("unit-test-your-flow.md")
    copied = tmp_path / "test_copied.py"
    copied.write_text(program)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(copied)]
    ran = subprocess.run(
        command, cwd=HOUSE, capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "1 passed") == (ran.returncode, ran.stdout.splitlines()[-1][: len("1 passed")])
