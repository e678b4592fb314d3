"""The rules of this repository that no linter knows, checked on its own files.

They hold for every file that is or is about to be committed.
"""

import ast
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

HOUSE: Final = Path(__file__).parent.parent
ENGINE_FILE: Final = HOUSE / "operators" / "keyed.py"  # sets when the engine polls again
PURE_FILES: Final = sorted(
    {*HOUSE.glob("operators/**/*.py"), *HOUSE.glob("state/**/*.py")} - {ENGINE_FILE}
)

# Written apart, so that this file does not hold what it looks for.
UNFINISHED: Final = re.compile(
    r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b"
)
ONE_MACHINE: Final = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users)/\w|/tmp/\w")

CLOCKS_AND_CHANCE: Final = {"time", "random", "secrets"}
EXACT_OF_MATH: Final = {"gcd", "lcm"}
INEXACT_MODULES: Final = {"cmath", "decimal", "math", "statistics"}
READS_OF_A_CLOCK: Final = {"now", "today", "utcnow"}
# Floats by name, and Python's own rounding, which sends halves to the even side.
INEXACT_NAMES: Final = {
    "complex",
    "float",
    "round",
    "truediv",
    "itruediv",
    "__truediv__",
    "__float__",
}
# Of numpy, whose integers are exact: what is or makes a float.
INEXACT_OF_NUMPY: Final = {
    *("float16", "float32", "float64", "float128", "floating", "inexact", "longdouble", "double"),
    *("half", "single", "complex64", "complex128", "mean", "average", "median", "std", "var"),
    *("divide", "true_divide", "reciprocal", "sqrt", "cbrt", "exp", "log", "log2", "log10"),
    *("linspace", "logspace", "geomspace", "interp", "quantile", "percentile", "nan", "inf"),
    *("rint", "float_power", "nanmean", "random"),
}
UNTYPED: Final = {"array", "asarray", "empty", "full", "ones", "zeros", "fromiter"}
"""Makers of numpy's arrays, of floats unless a type is named."""
FLOAT_CODE: Final = re.compile(r"[<>=|]?[efdgFDG]\d*")
BANNED_CALLS: Final = {"hash", "open"}  # other in each process, I/O


def run(*command: str | Path, cwd: Path = HOUSE, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=env or None, capture_output=True, text=True, timeout=60, check=False
    )


def committed_files() -> list[Path]:
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert 0 == listed.returncode, listed.stderr
    files = [HOUSE / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def texts() -> list[Path]:
    """Pictures and recorded logs that are packed have no words."""
    return [file for file in committed_files() if b"\0" not in file.read_bytes()]


def lines_with(banned: re.Pattern[str]) -> Iterator[str]:
    for file in texts():
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1):
            if banned.search(line):
                yield f"{file.relative_to(HOUSE)}:{number}: {line.strip()}"


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]\w*):", (HOUSE / "Makefile").read_text(), re.MULTILINE))


def code_of(markdown: str) -> str:
    """What a reader may copy: the fenced blocks and the inline code."""
    fences = re.findall(r"^```.*?\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return "\n".join([*fences, *re.findall(r"`([^`\n]+)`", prose)])


def violations(source: str) -> Iterator[str]:
    """Whatever could make an outcome inexact, or another one tomorrow."""
    for node in ast.walk(ast.parse(source)):
        yield from _operations(node)
        yield from _names(node)
        yield from _imports(node)


def _operations(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=float() | complex()):
            yield f"{node.lineno}: a float"
        case ast.keyword(arg="dtype", value=ast.Constant(value=str(code))) if (
            FLOAT_CODE.fullmatch(code) or "float" in code
        ):
            yield f"{node.value.lineno}: the type {code}"
        case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
            yield f"{node.lineno}: a true division"
        case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
            yield f"{node.lineno}: a negative power"
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="np"), attr=name), args=args, keywords=named
        ) if name in UNTYPED and not _has_type(name, args, named):
            yield f"{node.lineno}: an array without its type"


def _names(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in INEXACT_NAMES:
            yield f"{node.lineno}: the name {name}"
        case ast.Attribute(attr=name) if name in INEXACT_OF_NUMPY:
            yield f"{node.lineno}: the name {name}"
        case ast.Attribute(attr=name) if name in READS_OF_A_CLOCK:
            yield f"{node.lineno}: a read of a clock"
        case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
            yield f"{node.lineno}: a call of {name}"


def _imports(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=imported):
            yield from _banned(node.lineno, [alias.name for alias in imported])
        case ast.ImportFrom(module="math", names=imported) if {
            alias.name for alias in imported
        } <= EXACT_OF_MATH:
            pass
        case ast.ImportFrom(module="numpy", names=imported):
            for alias in imported:
                if alias.name in INEXACT_NAMES | INEXACT_OF_NUMPY:
                    yield f"{node.lineno}: an import of {alias.name}"
        case ast.ImportFrom(module=str(module), names=imported):
            yield from _banned(node.lineno, [module, *(alias.name for alias in imported)])


def _has_type(maker: str, args: list[ast.expr], named: list[ast.keyword]) -> bool:
    place = 2 if maker == "full" else 1
    return len(args) > place or any(keyword.arg == "dtype" for keyword in named)


def _banned(line: int, imported: list[str]) -> Iterator[str]:
    roots = {name.partition(".")[0] for name in imported if name != "numpy.random"}
    roots |= {"random" for name in imported if name == "numpy.random"}
    for name in sorted(roots & (CLOCKS_AND_CHANCE | INEXACT_MODULES | INEXACT_NAMES)):
        yield f"{line}: an import of {name}"


def test_nothing_is_left_for_later() -> None:
    """A note to come back is a defect that was seen and shipped."""
    assert [] == list(lines_with(UNFINISHED))


def test_no_file_names_one_machine() -> None:
    """A path of one person's machine works there and nowhere else."""
    assert [] == list(lines_with(ONE_MACHINE))


@pytest.mark.parametrize("file", PURE_FILES, ids=lambda file: str(file.relative_to(HOUSE)))
def test_outcomes_are_exact_and_repeatable(file: Path) -> None:
    """One float or one look at a clock, and two replays of a log end in two ledgers."""
    assert [] == list(violations(file.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "price = 0.5",
        "price = 5e2",
        "price = float(micros)",
        "prices = map(float, amounts)",
        "price: float = micros",
        "price = builtins.float(micros)",
        "price = round(average)",
        "price = units**-1",
        "price = truediv(paid, units)",
        "price = operator.truediv(paid, units)",
        "price = paid.__truediv__(units)",
        "shard = hash(market)",
        "rules = open(path)",
        "price = paid / units",
        "price /= units",
        "at = datetime.now(UTC)",
        "import time",
        "import numpy.random",
        "from numpy import random",
        "shares = np.random.default_rng(seed)",
        "from random import shuffle",
        "price = np.float64(micros)",
        "prices = np.zeros(9, dtype=np.float32)",
        'prices = micros.astype(dtype="<f8")',
        'prices = micros.astype(dtype="float64")',
        "price = prices.mean()",
        "price = np.average(prices)",
        "price = np.divide(paid, units)",
        "price = np.true_divide(paid, units)",
        "price = np.sqrt(paid)",
        "prices = np.linspace(1, 9, 9)",
        "from numpy import median",
        "prices = np.zeros(9)",
        "prices = np.array([])",
        "prices = np.full(9, price)",
        "import math",
        "from math import sqrt",
        "from decimal import Decimal",
        "from statistics import mean",
        "from operator import truediv as quotient",
    ],
)
def test_a_violation_is_found(source: str) -> None:
    """A search that finds nothing anywhere would let every file pass."""
    assert 1 == len(list(violations(source)))


@pytest.mark.parametrize(
    "source",
    [
        "import numpy as np",
        "units = np.zeros(9, dtype=np.int64)",
        "units = np.zeros(9, np.int64)",
        "units = np.full(9, 1, np.int16)",
        'units = column.astype("<i8")',
        "units = total // 2",
        "from math import lcm",
        "units = np.cumsum(column)",
    ],
)
def test_what_is_exact_may_stay(source: str) -> None:
    """Integers of numpy are as exact as Python's, as long as none wraps."""
    assert [] == list(violations(source))


def test_help_names_every_target() -> None:
    """A target that the help does not name is one that nobody finds."""
    shown = run("make", "help").stdout
    assert make_targets() == set(re.findall(r"^make (\w+)", shown, re.MULTILINE))


def test_readme_names_commands_that_exist() -> None:
    """The first command a newcomer copies must not fail."""
    named = set(re.findall(r"\bmake (\w+)", code_of((HOUSE / "README.md").read_text())))
    assert {"demo", "test"} <= named <= make_targets()


def test_ci_runs_what_developers_run() -> None:
    """A check that only one of the two runs is a surprise for the other."""
    script = (HOUSE / ".ci" / "run").read_text().splitlines()
    assert "make test" == script[-1]


def test_the_oldest_uv_is_the_same_in_script_and_project() -> None:
    """A uv that the script takes and the project then refuses would stop the setup halfway."""
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    found = re.search(r"^oldest_minor=(\d+)", (HOUSE / "tools" / "uv").read_text(), re.MULTILINE)
    assert found is not None
    assert f">=0.{found[1]}" == project["tool"]["uv"]["required-version"]


def test_a_machine_without_python_gets_a_plain_message(tmp_path: Path) -> None:
    """A newcomer with no fitting Python must read what is missing, not a shell's complaint."""
    shutil.copytree(HOUSE / "tools", tmp_path / "tools")
    bare = tmp_path / "bin"
    bare.mkdir()
    for command in ("dirname", "mkdir", "sed"):
        (bare / command).symlink_to(shutil.which(command) or command)
    refused = run("/bin/sh", tmp_path / "tools" / "uv", "sync", cwd=tmp_path, PATH=str(bare))
    assert (2, 3) == (refused.returncode, len(refused.stderr.splitlines()))
    assert refused.stderr.startswith("No Python 3.11 or 3.12 was found.")
