"""Break the product in every named way and see which test notices.

    python -m tests.mutation.mutate [--page docs/mutation.md] [NAME...]

Each mutant lives in a copy of the tree. The exit code is 1 if one survives its tests, and the page
is written only when all mutants were tried and none survived.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutant import Mutant
from tests.mutation.mutants import MUTANTS

HOUSE = Path(__file__).parents[2]
PACKAGES = ["operators", "state", "schemas", "client", "flows", "connectors", "otel", "bench"]
COPIED = [*PACKAGES, "tests", "pyproject.toml"]
LIMIT_S = 900  # many times what the tests take: a slow machine must not pass for a mutant's end
OPTIONS = ["-xq", "--hypothesis-seed=0", "-p", "tests.mutation.without_shrinking"]
Suite = tuple[str, ...]
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)

PAGE = """# What the tests notice

Each row is a mistake made on purpose in a copy of the product, and the first test that failed
because of it. All {count} were noticed. One that is not would make the command below exit with 1,
and the tests would have to grow. (It takes about half an hour; names of mistakes may follow it.)

    uv run python -m tests.mutation.mutate --page docs/mutation.md

| mistake | in | noticed by |
| --- | --- | --- |
{rows}
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant; `noticed_by` is empty when it survived, or the tests did not end."""

    mutant: Mutant
    noticed_by: str

    @property
    def row(self) -> str:
        """Its line of the page."""
        return f"| {self.mutant.name} | `{self.mutant.file}` | {self.noticed_by} |"


def main() -> int:
    """Try the mutants; 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation.mutate")
    parser.add_argument("names", nargs="*", metavar="NAME", help="try these mutants alone")
    parser.add_argument("--page", type=Path, help="where the table is written")
    asked = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if not asked.names or mutant.name in asked.names]
    with tempfile.TemporaryDirectory() as place:
        tree = _copy(Path(place))
        _expect_health(tree, dict.fromkeys(mutant.tests for mutant in chosen))
        verdicts = [_try(mutant, tree) for mutant in chosen]
    survivors = [verdict for verdict in verdicts if not verdict.noticed_by]
    if asked.page is not None and not survivors and chosen == MUTANTS:
        asked.page.write_text(_page(verdicts))
    return 1 if survivors else 0


def _copy(place: Path) -> Path:
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", ".hypothesis")
    for name in COPIED:
        source = HOUSE / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=unwanted)
        else:
            shutil.copy(source, place / name)
    return place


def _expect_health(tree: Path, suites: Iterable[Suite]) -> None:
    """Nothing can be learnt from a mutant if the tests fail, or test another tree, without it."""
    where = _python(tree, "-c", "import operators; print(operators.__file__)").stdout.strip()
    if not where.startswith(str(tree)):
        raise SystemExit(f"the copy is not what is tested: {where}")
    for suite in suites:
        healthy = _run_tests(tree, suite)
        if healthy.returncode != 0:
            raise SystemExit(f"the tests fail without a mutant:\n{healthy.stdout}{healthy.stderr}")


def _try(mutant: Mutant, tree: Path) -> Verdict:
    file = tree / mutant.file
    sound = file.read_text()
    if sound.count(mutant.before) != 1:
        raise SystemExit(f"{mutant.name}: its place in {mutant.file} has moved")
    file.write_text(sound.replace(mutant.before, mutant.after))
    verdict = Verdict(mutant, _noticed_by(tree, mutant.tests))
    file.write_text(sound)
    sys.stderr.write(f"{mutant.name}: {verdict.noticed_by or 'SURVIVED'}\n")
    return verdict


def _noticed_by(tree: Path, suite: Suite) -> str:
    try:
        run = _run_tests(tree, suite)
    except subprocess.TimeoutExpired:
        return ""
    if run.returncode == 0:
        return ""
    failed = FAILED.search(run.stdout)
    return f"`{failed[1].partition('[')[0]}`" if failed else "the tests could not be read"


def _run_tests(tree: Path, suite: Suite) -> subprocess.CompletedProcess[str]:
    return _python(tree, "-m", "pytest", *OPTIONS, *suite)


def _python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    paths = f"{tree}:{tree / 'schemas'}:{tree / 'client'}"
    return subprocess.run(
        [sys.executable, "-B", *arguments],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": paths, "TWIN_LOGS": "120"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def _page(verdicts: Iterable[Verdict]) -> str:
    rows = [verdict.row for verdict in verdicts]
    return PAGE.format(count=len(rows), rows="\n".join(rows))


if __name__ == "__main__":
    sys.exit(main())
