"""What `walras completion` prints completes commands, options and values in a real shell."""

import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Final

import pytest

from tests.support.shell import WALRAS

BASH: Final = """
source "$0"
COMP_WORDS=(walras "$@"); COMP_CWORD=$#; _walras
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, folder: Path) -> Path:
    """The file that a person would source."""
    printed = subprocess.run([WALRAS, "completion", shell], capture_output=True, check=True)
    file = folder / f"walras.{shell}"
    file.write_bytes(printed.stdout)
    return file


def run(*words: str | Path) -> set[str]:
    """The completions that a shell offers."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (ended.returncode, ended.stderr)
    return {line.partition("\t")[0] for line in ended.stdout.splitlines()}


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["d"], {"demo", "doctor"}),
        (["market", ""], {"open", "example"}),
        (["windows", "--la"], {"--last"}),
        (["completion", "f"], {"fish"}),
    ],
)
def test_bash_completes(tmp_path: Path, typed: list[str], offered: set[str]) -> None:
    """A script that a shell refuses breaks every new terminal of its user."""
    assert offered <= run("bash", "-c", BASH, script("bash", tmp_path), *typed)


@pytest.mark.skipif(which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path: Path) -> None:
    """As above."""
    file = script("fish", tmp_path)
    found = run("fish", "-c", f"source {file}; complete -C 'walras market '")
    assert {"open", "example"} <= found


@pytest.mark.skipif(which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_script(tmp_path: Path) -> None:
    """As above; what it completes shows only in a terminal."""
    script("zsh", tmp_path).rename(tmp_path / "_walras")
    load = "fpath=($0 $fpath); autoload -Uz compinit; compinit -uD; print $_comps[walras]"
    assert {"_walras"} == run("zsh", "-fc", load, tmp_path)


def test_another_shell_is_refused() -> None:
    """A guess would be pasted into a file that another shell reads."""
    refused = subprocess.run(
        [sys.executable, "-m", "flows.cli", "completion", "csh"], capture_output=True, check=False
    )
    assert 2 == refused.returncode
