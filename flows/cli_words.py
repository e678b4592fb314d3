"""How the command line speaks: tables and lines for people, JSON for programs.

Promise: nothing that came from the log or the ledger can move a reader's cursor or colour a
terminal; in JSON, integers stay integers and what JSON cannot say becomes text.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from cyclopts import Parameter

from state.errors import WalrasError

AsJson = Annotated[
    bool, Parameter(name="--json", negative="", help="Print JSON, with amounts in micro-credits.")
]

# On paper and in pipes a table is as wide as it is.
UNBOUNDED: Final = 10_000


def say(line: str) -> None:
    """A line of data, at once."""
    print(line, flush=True)


def note(line: str) -> None:
    """A line for the person who looks on."""
    print(line, file=sys.stderr, flush=True)


def say_json(value: object) -> None:
    """A value as JSON."""
    say(json.dumps(plain(value), ensure_ascii=False))


def tell_failure(failure: WalrasError) -> None:
    """What happened, the detail and the hint, one below the other."""
    lines = [f"error: {failure.what}", *failure.detail.splitlines(), *failure.hint.splitlines()]
    note("\n  ".join(map(printable, lines)))


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows under their columns, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[cell(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    Console(width=None if sys.stdout.isatty() else UNBOUNDED).print(table)


def cell(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict() | list():
            return printable(json.dumps(plain(value), ensure_ascii=False))
        case _:
            return printable(str(plain(value)))


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
