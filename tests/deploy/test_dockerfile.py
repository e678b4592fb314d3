"""The Dockerfile copies what is there, leaves nothing out that runs, and gives up root."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Final, NamedTuple

import pytest

HOUSE: Final = Path(__file__).parent.parent.parent
PROJECT: Final = tomllib.loads((HOUSE / "pyproject.toml").read_text())
MEMBERS: Final = PROJECT["tool"]["uv"]["workspace"]["members"]
PACKAGES: Final = {
    **{name: name for name in PROJECT["tool"]["uv"]["build-backend"]["module-name"]},
    **{f"walras_{member}": member for member in MEMBERS},
}
"""Each package of ours and the folder that it is in."""


class Instruction(NamedTuple):
    """One instruction: its keyword and the rest of its line."""

    keyword: str
    words: str


def instructions() -> list[Instruction]:
    text = (HOUSE / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [Instruction(*line.split(maxsplit=1)) for line in lines]


def last_stage() -> list[Instruction]:
    every = instructions()
    start = max(at for at, one in enumerate(every) if one.keyword == "FROM")
    return every[start:]


def last(keyword: str) -> str:
    return next(one.words for one in reversed(last_stage()) if one.keyword == keyword)


def copied() -> list[str]:
    """What is copied out of the repository."""
    return [
        source
        for one in instructions()
        if one.keyword == "COPY" and not one.words.startswith("--from")
        for source in one.words.split()[:-1]
    ]


def ignored() -> set[str]:
    lines = (HOUSE / ".dockerignore").read_text().splitlines()
    return {line.strip("/") for line in lines if line and not line.startswith("#")}


def imported(folder: str) -> set[str]:
    """The folders whose packages the files of a folder import."""
    found: set[str] = set()
    for file in (HOUSE / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return {PACKAGES[name] for name in found & PACKAGES.keys()}


@pytest.mark.parametrize("source", copied())
def test_a_copied_path_is_there(source: str) -> None:
    """A COPY of what was renamed breaks the build on the day of the release."""
    assert (HOUSE / source).exists()
    assert set() == {source, source.split("/", maxsplit=1)[0]} & ignored()


def test_all_that_runs_is_copied() -> None:
    """A package left out is an ImportError in production only."""
    needed = set().union(*(imported(folder) for folder in copied() if (HOUSE / folder).is_dir()))
    assert needed | set(PACKAGES.values()) <= set(copied())


def test_every_member_of_the_workspace_is_copied() -> None:
    """The lock is of all members: without one of them uv takes it for outdated and stops."""
    assert {f"{member}/pyproject.toml" for member in MEMBERS} <= set(copied())


def test_the_base_has_a_python_that_the_project_takes() -> None:
    """The engine has no wheel for any other."""
    bases = {one.words.split()[0] for one in instructions() if one.keyword == "FROM"}
    assert {"python:3.12-slim"} == bases
    assert ">=3.11,<3.13" == PROJECT["project"]["requires-python"]


def test_dependencies_are_the_locked_ones() -> None:
    """An image that resolves anew is another program than the one that was tested."""
    syncs = [one.words for one in instructions() if re.match(r"uv sync", one.words)]
    assert ["--locked --no-dev"] * len(syncs) == [
        re.sub(r"uv sync (--locked --no-dev).*", r"\1", sync) for sync in syncs
    ]
    assert 2 == len(syncs)


def test_it_runs_without_root() -> None:
    """What an agent sends must never be read by a process that owns the machine."""
    created = re.search(r"useradd .*?--uid (\d+) .*\b(\w+)$", last("RUN"))
    assert created is not None
    assert int(created[1]) > 0
    assert created[2] == last("USER")


def test_it_is_told_healthy_or_not() -> None:
    """Without a check a container that hangs counts as running."""
    assert last("HEALTHCHECK").endswith('CMD ["walras", "doctor"]')


def test_it_starts_the_command_of_the_project() -> None:
    """An entry point that the project does not install is not found."""
    assert ['["walras"]', '["up"]'] == [last("ENTRYPOINT"), last("CMD")]
    assert "walras" in PROJECT["project"]["scripts"]
