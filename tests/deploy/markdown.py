"""The documents of this repository as a test wants to read them: code, tables, links, commands."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.deploy.compose import HOUSE

DOCUMENTS: Final = sorted(
    [*HOUSE.glob("*.md"), *(HOUSE / "docs").rglob("*.md"), *HOUSE.glob("*/README.md")]
)

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_SEPARATOR: Final = re.compile(r"[ :|-]+")


def name(document: Path) -> str:
    """The document as its readers call it."""
    return str(document.relative_to(HOUSE))


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return [code for marked, code in _FENCE.findall(text) if marked == language]


def inline(text: str) -> list[str]:
    """What stands between backticks in the prose and the tables."""
    return _INLINE.findall(_FENCE.sub("", text))


def links(text: str) -> list[str]:
    """The targets of all links."""
    return _LINK.findall(_FENCE.sub("", text))


def table(text: str, first_column: str) -> list[list[str]]:
    """The rows of the table whose head begins with this column."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first_column} |"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        if not _SEPARATOR.fullmatch(line):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def cell_code(cell: str) -> str:
    """The first code of a table's cell; empty where there is none."""
    found = _INLINE.search(cell)
    return found[1] if found else ""


def commands(text: str) -> Iterator[list[str]]:
    """Every `walras …` that a reader may copy, as the words after `walras`."""
    shell = "\n".join(blocks(text, "sh"))
    for line in [*shell.splitlines(), *inline(text)]:
        command = line.removeprefix("tools/uv run ")
        if command.startswith("walras "):
            yield shlex.split(command, comments=True)[1:]
