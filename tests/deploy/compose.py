"""docker-compose.yml as Compose would read it, for a shell with the given variables."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

HOUSE: Final = Path(__file__).parent.parent.parent
COMPOSE_FILE: Final = HOUSE / "docker-compose.yml"

# The one form of a variable that the file uses: a name with a default.
_VARIABLE: Final = re.compile(r"\$\{(\w+):-([^}]*)\}")


def services(**shell: str) -> dict[str, Any]:
    """The services by name, with the variables of the shell filled in."""
    return dict(document(**shell)["services"])


def document(**shell: str) -> dict[str, Any]:
    """The whole file, with the variables of the shell filled in."""
    filled: dict[str, Any] = _filled(yaml.safe_load(COMPOSE_FILE.read_text()), shell)
    return filled


def _filled(node: Any, shell: Mapping[str, str]) -> Any:
    match node:
        case str():
            text = _VARIABLE.sub(lambda found: shell.get(found[1]) or found[2], node)
            assert "$" not in text, f"a variable without a default: {node}"
            return text
        case list():
            return [_filled(item, shell) for item in node]
        case dict():
            return {key: _filled(value, shell) for key, value in node.items()}
        case _:
            return node
