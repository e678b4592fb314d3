"""Hooks and workflow call what developers call."""

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]


def read(path: str) -> dict[str, Any]:
    """A YAML file of the repository."""
    content = yaml.safe_load((ROOT / path).read_text())
    assert isinstance(content, dict)
    return content


def test_hooks_call_make() -> None:
    """A hook with tools of its own passes what `make lint` refuses."""
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].split() for hook in repo["hooks"]]
    assert "local" == repo["repo"]
    assert ["make", "make"] == [command for command, _ in entries]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [] == [target for _, target in entries if target not in targets]


def test_the_workflow_calls_the_ci_script() -> None:
    """A workflow with steps of its own fails where no developer can repeat it."""
    jobs = read(".github/workflows/ci.yml")["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert [".ci/run"] == runs


def test_the_workflow_runs_every_python_of_the_engine() -> None:
    """A Python that is promised and never tried is one that may not work."""
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert ["3.11", "3.12"] == job["strategy"]["matrix"]["python"]
    assert 'requires-python = ">=3.11,<3.13"' in (ROOT / "pyproject.toml").read_text()
