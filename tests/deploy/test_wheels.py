"""Walras without a clone: the wheels have all that runs, and a hint is typed as the command was."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from tests.deploy.compose import HOUSE

PACKAGES: Final = ("flows", "operators", "connectors", "state", "otel", "bench")
UV: Final = HOUSE / "tools" / "uv"
DEADLINE_S: Final = 100

pytestmark = pytest.mark.timeout(200)


def output(*command: str | Path, **options: object) -> str:
    """What a program prints that must not fail."""
    ended = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]
    assert 0 == ended.returncode, ended.stderr
    return str(ended.stdout)


@dataclass(frozen=True, slots=True)
class Installed:
    """The three wheels, and a folder where they are installed, away from the clone."""

    wheels: Path
    packages: Path
    elsewhere: Path

    def walras(self, *words: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.packages}/bin:{os.environ['PATH']}"
        return subprocess.run(
            [self.packages / "bin" / "walras", *words],
            cwd=self.elsewhere,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(self.packages)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """Without their dependencies, which those of this environment stand for.

    The folder is not one of pytest's: those are closed to the user that Postgres runs as.
    """
    with TemporaryDirectory(prefix="walras-wheels-", ignore_cleanup_errors=True) as name:
        wheels, packages, elsewhere = (
            Path(name) / part for part in ("dist", "packages", "somewhere é")
        )
        elsewhere.mkdir()
        output("make", "wheels", f"DIST={wheels}", cwd=HOUSE)
        to = ("--no-deps", "--offline", "--python", sys.executable, "--target", packages)
        output(UV, "pip", "install", "-q", *to, *wheels.glob("*.whl"), cwd=HOUSE)
        yield Installed(wheels, packages, elsewhere)


def test_everything_that_is_committed_is_in_the_wheel(installed: Installed) -> None:
    """A query, a migration or a configuration that stays behind is missed where it runs."""
    (wheel,) = installed.wheels.glob("walras-*.whl")
    there = set(zipfile.ZipFile(wheel).namelist())
    assert set(output("git", "ls-files", *PACKAGES, cwd=HOUSE).splitlines()) <= there


def test_the_version_names_the_commit(installed: Installed) -> None:
    """Who reports a fault must be able to say of what."""
    commit = output("git", "rev-parse", "HEAD", cwd=HOUSE)[:12]
    version, _, said = installed.walras("--version").stdout.strip().partition(" ")
    assert f"({commit})" == said
    assert f"walras-{version}-py3-none-any.whl" in {
        each.name for each in installed.wheels.iterdir()
    }
    in_clone = output(sys.executable, "-m", "flows.cli", "--version", cwd=HOUSE)
    assert f"{version} ({commit}" == in_clone.strip().removesuffix(")").removesuffix("-dirty")


def test_a_demo_runs_and_names_itself_as_it_was_called(installed: Installed) -> None:
    """A hint that names a clone which is not there helps nobody."""
    demo = installed.walras("demo", "--agents", "14", "--seconds", "2")
    assert 0 == demo.returncode, demo.stderr
    assert "\n   walras replay demo.jsonl\n" in demo.stdout
    assert "tools/uv" not in demo.stdout + demo.stderr


def test_the_example_of_a_market_comes_with_it(installed: Installed) -> None:
    """`market open` needs a file, and only a clone has the folder of examples."""
    shown = installed.walras("market", "example").stdout
    assert (HOUSE / "examples" / "market.toml").read_text() == shown


@pytest.mark.parametrize(
    ("called", "named"),
    [
        ([sys.executable, "-m", "flows.cli"], "python -m flows.cli"),
        (["walras"], "`walras --help`"),
        ([str(Path(sys.executable).with_name("walras"))], "/walras --help`"),
        ([UV, "run", "--no-sync", "walras"], "`tools/uv run walras --help`"),
    ],
    ids=["module", "name", "path", "uv"],
)
def test_a_hint_can_be_typed(called: list[str], named: str) -> None:
    """`walras --help` is no answer to somebody whose shell knows no walras."""
    bin_folder = Path(sys.executable).parent
    path = os.environ["PATH"]
    if called[0] == "walras":
        path = f"{bin_folder}:{path}"
    elif len(called) == 1:  # by its path, because it is not on PATH
        path = ":".join(each for each in path.split(":") if Path(each) != bin_folder)
    misread = subprocess.run(
        [*called, "nosuch"],
        cwd=HOUSE,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == misread.returncode
    assert named in misread.stderr
