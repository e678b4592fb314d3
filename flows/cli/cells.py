"""Values of the ledger as text for people.

Promise: exact; a suffix of a column's name is its unit, so that `paid_micros` is shown in credits
and `p99_us` in milliseconds. Nothing that came from the log can act on a terminal.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from flows.cli.console import plain
from flows.runtime.logging import printable

DIGEST_SHOWN: Final = 16
INSTANT_SHOWN: Final = len("2026-01-02 03:04:05")
INSTANTS: Final = frozenset({"closed_at", "committed_at"})

Show = Callable[[Sequence[Any]], list[str]]


def raw_columns(columns: Sequence[str]) -> list[tuple[str, Show]]:
    """The heading of each column and how its values are shown: as they are."""
    return [(printable(column), _each(cell)) for column in columns]


def columns_in_units(columns: Sequence[str]) -> list[tuple[str, Show]]:
    """The same, in the units that people count in."""
    return [_in_units(column) for column in columns]


def cell(value: object) -> str:
    """A value as it is."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict() | list() | tuple():
            return printable(json.dumps(plain(value), ensure_ascii=False))
        case _:
            return printable(str(plain(value)))


def _in_units(column: str) -> tuple[str, Show]:
    if column.endswith("_micros"):
        return column.removesuffix("_micros"), _credits
    if column.endswith("_us"):
        return column.removesuffix("_us"), _each(_milliseconds)
    if column == "digest":
        return column, _each(lambda value: str(value)[:DIGEST_SHOWN])
    if column in INSTANTS:
        return column, _each(lambda value: str(value)[:INSTANT_SHOWN])
    if column == "bundle":
        return column, _each(_bundle)
    return column, _each(cell)


def _each(show_value: Callable[[Any], str]) -> Show:
    return lambda values: ["" if value is None else show_value(value) for value in values]


def _bundle(quantities: dict[str, int]) -> str:
    """As `walras bid --bundle` takes it."""
    return printable(",".join(f"{name}={units}" for name, units in quantities.items()))


def _credits(values: Sequence[int | None]) -> list[str]:
    """Credits with as many decimals as one of them needs, so that the points are aligned."""
    from flows.cli.amounts import credits_text  # loads the registry, which help can do without

    shown = _each(credits_text)(values)
    decimals = max((len(text.partition(".")[2]) for text in shown), default=0)
    return [_padded(text, decimals) if text else "" for text in shown]


def _padded(text: str, decimals: int) -> str:
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest:0<{decimals}}" if decimals else whole


def _milliseconds(us: int) -> str:
    return f"{us // 1000}.{us % 1000 // 100} ms"
