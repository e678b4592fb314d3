"""The benchmark, which is not part of the deployment: it runs in a process of its own.

Promise: its exit code is the benchmark's, and a stop reaches the benchmark, which cleans up.
"""

import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import Annotated, Final

from cyclopts import Parameter

from state.errors import SettingsError

NEEDED: Final = ("matplotlib", "psutil", "sqlalchemy")

Words = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        show_default=False,
        help="What to measure, and its options; `quick` by default.",
    ),
]


def bench(*words: Words) -> int:
    missing = [package for package in NEEDED if find_spec(package) is None]
    if missing:
        raise SettingsError(
            "the benchmark is not installed",
            detail=f"it needs {', '.join(missing)}",
            hint="In a clone: `make setup`. Elsewhere, install walras together with these packages",
        )
    command = [sys.executable, "-m", "bench", *(words or ("quick",))]
    with subprocess.Popen(command) as running:
        while running.poll() is None:
            with suppress(KeyboardInterrupt):  # the terminal interrupts the benchmark as well
                running.wait()
    return running.returncode
