"""How the command line speaks: lines for people, JSON for programs, errors in three parts.

Promise: nothing that came from the log or the ledger can move a reader's cursor or colour a
terminal; in JSON, integers stay integers and what JSON cannot hold becomes text.
"""

import json
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from flows.cli.installation import as_called
from flows.runtime.logging import configure_logging, printable
from state.errors import WalrasError

if TYPE_CHECKING:
    from flows.runtime.settings import Settings

AsJson = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print JSON, with amounts in micro-credits.",
    ),
]


def start() -> "Settings":
    """What a command begins with: its settings, and logging as they say."""
    from flows.runtime.settings import load_settings

    settings = load_settings()
    configure_logging(settings)
    return settings


def print_data(line: str) -> None:
    """A line of data, on stdout at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def print_json(value: object) -> None:
    """A value as JSON on one line of stdout."""
    print_data(json.dumps(plain(value), ensure_ascii=False))


def print_status(line: str) -> None:
    """A line on stderr, for the person who runs the command; lost where stderr cannot take it."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        return


def print_error(error: WalrasError) -> None:
    """What happened, the detail and the hint, one below the other."""
    lines = [f"error: {error.what}", *error.detail.splitlines()]
    lines += as_called(error.hint).splitlines()
    print_status("\n  ".join(map(printable, lines)))


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _:
            return str(value)
