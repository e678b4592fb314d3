"""The registry installs into an agent's own project: it brings pydantic and nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

SCHEMAS: Final = Path(__file__).parents[2] / "schemas"
PROBE: Final = """
import json, sys
from pydantic import *
before = set(sys.modules)
import walras_schemas.export
after = {name.partition(".")[0] for name in set(sys.modules) - before}
print(json.dumps(sorted(after - set(sys.stdlib_module_names))))
"""


def test_nothing_but_pydantic_comes_with_it() -> None:
    """An import of the engine or the broker would force them on every agent."""
    ran = subprocess.run(
        [sys.executable, "-c", PROBE], check=True, capture_output=True, text=True, cwd=SCHEMAS
    )
    expected = ["walras_schemas"]
    assert expected == json.loads(ran.stdout)
