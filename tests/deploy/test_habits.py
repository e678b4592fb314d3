"""Hooks and workflow call what developers call."""

from typing import Any

import yaml

from tests.deploy.compose import HOUSE
from tests.test_house import make_targets


def read(path: str) -> dict[str, Any]:
    """A YAML file of the repository."""
    content = yaml.safe_load((HOUSE / path).read_text())
    assert isinstance(content, dict)
    return content


def test_hooks_call_make() -> None:
    """A hook with tools of its own passes what `make lint` refuses."""
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].split() for hook in repo["hooks"]]
    assert "local" == repo["repo"]
    assert ["make", "make"] == [command for command, _ in entries]
    assert {target for _, target in entries} <= make_targets()


def test_the_workflow_calls_the_ci_script() -> None:
    """A workflow with steps of its own fails where no developer can repeat it."""
    jobs = read(".github/workflows/ci.yml")["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert [".ci/run"] == runs


def test_the_workflow_runs_every_python_of_the_engine() -> None:
    """A Python that is promised and never tried is one that may not work."""
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert ["3.11", "3.12"] == job["strategy"]["matrix"]["python"]
    assert 'requires-python = ">=3.11,<3.13"' in (HOUSE / "pyproject.toml").read_text()
