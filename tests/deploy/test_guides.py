"""The programs in the guides and among the examples run where a reader would copy them to."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.compose import HOUSE
from tests.deploy.markdown import blocks

GUIDE: Final = (HOUSE / "docs" / "guides" / "unit-test-your-flow.md").read_text()
COPIED: Final = {
    **{f"block {number}": code for number, code in enumerate(blocks(GUIDE, "python"), start=1)},
    "example": (HOUSE / "examples" / "test_bidder.py").read_text(),
}


@pytest.mark.parametrize("program", COPIED.values(), ids=COPIED.keys())
def test_a_copied_test_passes_in_a_folder_of_the_reader_s_own(program: str, tmp_path: Path) -> None:
    """The first test that somebody copies must not need to be mended, nor the source tree."""
    (tmp_path / "test_copied.py").write_text(program)
    # Isolated: neither this folder nor the environment's paths are looked at.
    command = [sys.executable, "-I", "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    expected = f"{program.count('def test_')} passed"
    assert (0, expected) == (ran.returncode, ran.stdout.splitlines()[-1].partition(" in ")[0])
