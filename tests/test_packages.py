"""The three packages declare what they import, and the agents' two take any Python from 3.11 on."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parent.parent
ENGINE: Final = ("flows", "operators", "connectors", "state", "otel")
OUTSIDE: Final = {"pathway"}  # a baseline of the benchmark that gets an environment of its own

SHARED: Final = {"opentelemetry": ["opentelemetry-api"]}
"""Modules that several distributions fill, and the one that every import of them needs."""


def project(folder: str) -> dict[str, Any]:
    """What a package's own file says of it."""
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())


def distribution(name: str) -> str:
    """The name of a distribution as an index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(requirement: str) -> set[str]:
    """What a requirement names; `psycopg[pool]` asks for psycopg and psycopg-pool."""
    name, extras = re.findall(r"^([\w.-]+)(?:\[([\w,]+)\])?", requirement)[0]
    asked = [name, *(f"{name}-{extra}" for extra in extras.split(",") if extra)]
    return {distribution(each) for each in asked}


def declared(folder: str, group: str | None = None) -> set[str]:
    """What an installation of the package brings, with a group of ours where one is named."""
    read = project(folder)
    asked = list(read["project"]["dependencies"])
    asked += chain.from_iterable(read["project"].get("optional-dependencies", {}).values())
    if group is not None:
        asked += read["dependency-groups"][group]
    return set().union(*map(distributions, asked))


def modules(file: Path) -> set[str]:
    """The outermost modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.Import(names=names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module=str(module)):
                found.add(module)
    return {module.partition(".")[0] for module in found}


def imported(*folders: str) -> set[str]:
    """The distributions behind the imports of these folders, without the standard library."""
    known = {**packages_distributions(), **SHARED}
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    found = {module for file in files for module in modules(file)}
    found -= set(sys.stdlib_module_names) | {*ENGINE, "bench"} | OUTSIDE
    return {distribution(name) for module in found for name in known.get(module, [module])}


@pytest.mark.parametrize(
    ("declares", "group", "folders", "own"),
    [
        (".", None, ENGINE, set[str]()),
        (".", "bench", ("bench",), set[str]()),
        ("client", None, ("client/walras_client",), {"walras-client"}),
        ("schemas", None, ("schemas/walras_schemas",), {"walras-schemas"}),
    ],
    ids=["engine", "bench", "client", "schemas"],
)
def test_every_import_is_declared(
    declares: str, group: str | None, folders: tuple[str, ...], own: set[str]
) -> None:
    """A package that only comes with another is gone with the next version of that one."""
    assert set() == imported(*folders) - own - declared(declares, group)


def test_an_import_is_seen() -> None:
    """A search that finds nothing would let every import pass."""
    assert {"nats-py", "uuid-utils", "walras-schemas"} <= imported("client/walras_client")


@pytest.mark.parametrize("package", ["client", "schemas"])
def test_agents_may_run_on_a_newer_python(package: str) -> None:
    """Only the engine needs a certain Python; a bound here keeps agents out for nothing."""
    assert ">=3.11" == project(package)["project"]["requires-python"]


def test_the_packages_have_one_version() -> None:
    """A client beside the registry of another release refuses what the market accepts."""
    versions = {project(folder)["project"]["version"] for folder in (".", "client", "schemas")}
    released = re.findall(r"^## \[(\d[\d.]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions == {released[0]}
