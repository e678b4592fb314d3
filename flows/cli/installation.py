"""How this `walras` was installed, and how a person called it.

Promise: a command in a hint can be typed as it stands, in the folder where the last one was typed.
"""

import json
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from os.path import relpath
from pathlib import Path
from shutil import which
from typing import Final

NAME: Final = "walras"
ROOT: Final = Path(__file__).parents[2]
UV: Final = ROOT / "tools" / "uv"
IN_CLONE: Final = UV.exists()
COMMIT_FILE: Final = Path(__file__).with_name("commit.txt")
COMMIT_LENGTH: Final = 12


def command() -> str:
    """The words that this command line was called by."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("cli", "__main__.py"):
        return f"{_short(sys.executable)} -m flows.cli"
    if called.name != NAME:
        return NAME
    return _through_uv() or _short(sys.argv[0])


def as_called(text: str) -> str:
    """The text with each command in backticks as this one was called."""
    return text.replace(f"`{NAME} ", f"`{command()} ")


def release() -> str:
    """The version, and the commit where it is known."""
    version, commit = distribution(NAME).version, _commit()
    return f"{version} ({commit})" if commit else version


def _through_uv() -> str | None:
    """The words up to the command's name, where `uv run` or `uvx` called it."""
    import psutil

    try:
        words = psutil.Process().parent().cmdline()  # type: ignore[union-attr] # then it is caught
    except (psutil.Error, AttributeError):
        return None
    if not words or Path(words[0]).name != "uv" or NAME not in words:
        return None
    if IN_CLONE and words[1] == "run":
        return f"{shlex.quote(relpath(UV))} run {NAME}"
    if words[1:3] == ["tool", "uvx"]:
        words[:3] = ["uvx"]
    return shlex.join([_short(words[0]), *words[1 : words.index(NAME) + 1]])


def _short(program: str) -> str:
    """The name of a program that is on PATH, the path of any other."""
    name = Path(program).name
    return name if which(name) == program else shlex.quote(program)


def _commit() -> str:
    archived = COMMIT_FILE.read_text().strip()
    if not archived.startswith("$"):
        return archived[:COMMIT_LENGTH]
    return _commit_of_clone() if (ROOT / ".git").exists() else _commit_of_url()


def _commit_of_clone() -> str:
    describe = ["describe", "--always", "--dirty", f"--abbrev={COMMIT_LENGTH}", "--exclude=*"]
    git = which("git")
    if git is None:
        return ""
    said = subprocess.run([git, "-C", ROOT, *describe], capture_output=True, text=True, check=False)
    return said.stdout.strip()


def _commit_of_url() -> str:
    """What an installer noted that built it from a git URL itself."""
    try:
        noted = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:
        return ""
    commit: str = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", "")
    return commit[:COMMIT_LENGTH]
