"""Baseline (e): an earlier version of Walras, out of this repository's history.

It drains the same seeded workload with its own benchmark, its own servers and an environment that
its own lock file describes. Promise: what it reports is measured as that version measured itself:
from the start of its flow to the last window published. The checkout stays in the folder of the
benchmark for the next round, and is used only when it was completed.
"""

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

from bench.baselines.contract import Job
from bench.harness.machine import REPOSITORY
from bench.report.runs import BaselineRun
from state.errors import WalrasError

PROGRAM: Final = Path(__file__).with_name("version_before_program.py")
COMPLETE: Final = ".complete"
# Bytecode is compiled while the market is opened, which is not measured.
SYNC: Final = ("tools/uv", "sync", "-q", "--locked", "--group=bench", "--no-dev")


def run_version(commit: str, job: Job) -> BaselineRun:
    """Let the version of a commit drain the job's workload, in its own environment."""
    checkout = job.folder.resolve() / f"version-{revision_of(commit)}"
    if not (checkout / COMPLETE).exists():
        _set_up(commit, checkout)
    run = _drain(checkout, job)
    return BaselineRun(
        settled=run["commands"],
        dropped=job.workload.bids - run["commands"],
        seconds=run["seconds"],
        cpu_us=run["cpu_us"],
    )


def revision_of(commit: str) -> str:
    """The full name of a commit; one that this repository does not have is an error."""
    words = ["git", "rev-parse", "--verify", f"{commit}^{{commit}}"]
    return _output(words, cwd=REPOSITORY).decode().strip()


def _set_up(commit: str, checkout: Path) -> None:
    """The files of the commit and its environment, in place of what an interruption left."""
    rmtree(checkout, ignore_errors=True)
    checkout.mkdir(parents=True)
    archive = _output(["git", "archive", commit], cwd=REPOSITORY)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(checkout, filter="data")
    _output([*SYNC, "--no-compile-bytecode"], cwd=checkout)
    (checkout / COMPLETE).touch()


def _drain(checkout: Path, job: Job) -> dict[str, Any]:
    """What the program reports in its last line."""
    task = {"workload": asdict(job.workload), "folder": str(job.folder)}
    command: list[str | Path] = [checkout / ".venv/bin/python", "-P", PROGRAM]
    report = _output(command, cwd=checkout, stdin=json.dumps(task).encode())
    found: dict[str, Any] = json.loads(report.splitlines()[-1])
    return found


def _output(command: Sequence[str | Path], *, cwd: Path, stdin: bytes = b"") -> bytes:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines() or ["no message"]
        raise WalrasError(
            "the earlier version could not be measured",
            detail=f"{Path(command[0]).name}, exit code {done.returncode}: {lines[-1]}",
            hint="Give a commit of this repository that has a benchmark; '' leaves it out",
        )
    return done.stdout
