"""The client installs into an agent's own project: it brings three small packages."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

CLIENT: Final = Path(__file__).parents[2] / "client"
PROBE: Final = """
import json, sys
from pydantic import *
before = set(sys.modules)
import walras_client
after = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(after - set(sys.stdlib_module_names))))
"""


def test_it_brings_what_it_says_and_no_more() -> None:
    """An import of the engine or the ledger would force them on every agent."""
    ran = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, capture_output=True, text=True, cwd=CLIENT
    )
    optional = {"opentelemetry"}
    found = set(json.loads(ran.stdout)) - optional
    assert {"nats", "uuid_utils", "walras_client", "walras_schemas"} == found


def test_its_dependencies_are_those() -> None:
    """A package that is imported and not asked for is there on our machines only."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    names = sorted(asked.split(">")[0] for asked in project["dependencies"])
    assert ["nats-py[nkeys]", "uuid-utils", "walras-schemas"] == names
