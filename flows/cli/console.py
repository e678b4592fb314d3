"""How the command line speaks: lines for people, JSON for programs, failures in three parts.

Promise: nothing that came from the log or the ledger can move a reader's cursor or colour a
terminal; in JSON, integers stay integers and what JSON cannot say becomes text.
"""

import json
import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from state.errors import WalrasError

AsJson = Annotated[
    bool,
    Parameter(
        name="--json",
        negative="",
        show_default=False,
        help="Print JSON, with amounts in micro-credits.",
    ),
]


def say(line: str) -> None:
    """A line of data, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """A line for the person who looks on."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def say_json(value: object) -> None:
    """A value as JSON on one line."""
    say(json.dumps(plain(value), ensure_ascii=False))


def tell_failure(failure: WalrasError) -> None:
    """What happened, the detail and the hint, one below the other."""
    lines = [f"error: {failure.what}", *failure.detail.splitlines(), *failure.hint.splitlines()]
    note("\n  ".join(map(printable, lines)))


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


def printable(text: str) -> str:
    """The text with everything that would act on a terminal written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
