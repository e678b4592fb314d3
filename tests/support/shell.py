"""Run `walras` as a person or a program would, and keep its output."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.cli import app as cli

WALRAS = Path(sys.executable).with_name("walras")
DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended: its exit code and its output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output as a program reads it."""
        assert self.code == 0, self.err
        return json.loads(self.out)


Walras = Callable[..., Ended]


def shell(capsys: pytest.CaptureFixture[str]) -> Walras:
    """Commands that run in this process."""

    def run(*words: str | Path) -> Ended:
        code = cli.run([str(word) for word in words])
        output = capsys.readouterr()
        return Ended(code, output.out, output.err)

    return run


@dataclass(frozen=True, slots=True)
class Up:
    """A deployment in a process of its own, and its output until it was ready."""

    process: subprocess.Popen[str]
    out: str

    def stop(self, how: signal.Signals) -> Ended:
        """End it by a signal; how it ended, and all its output."""
        self.process.send_signal(how)
        rest, err = self.process.communicate(timeout=DEADLINE_S)
        return Ended(self.process.returncode, self.out + rest, err)


def start_up(*options: str) -> Up:
    """A deployment with the settings of this process's environment, once it is ready."""
    process = subprocess.Popen(
        [WALRAS, "up", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    out = ""
    for line in process.stdout:
        out += line
        if line == "ready\n":
            return Up(process, out)
    _, err = process.communicate(timeout=DEADLINE_S)
    return pytest.fail(f"walras up ended with {process.returncode}: {err}")
