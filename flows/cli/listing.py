"""What a market offers before and after it is opened anew, for the operator who replaces it.

Promise: whatever the opening changes of an existing market is named, with both values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import ask
from flows.cli.amounts import credits_text
from walras_schemas import MarketOpened

MARKET: Final = """
SELECT rule, stale_after_windows, max_commands, lag_windows, meters, open
FROM markets WHERE market = $market
"""
RESOURCES: Final = """
SELECT resource, supply, initial_price_micros, reserve_micros, reserve_ratio_ppm, allowance_windows
FROM resources WHERE market = $market ORDER BY resource
"""
MONEY: Final = "_micros"

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listing:
    """A market: what it says of itself, and what it says of each resource."""

    market: Values
    resources: dict[str, Values]


def read_listing(postgres_dsn: str, market: str) -> Listing | None:
    """The market as the ledger has it; None when it was never opened."""
    with open_ledger(postgres_dsn) as ledger:
        found = ask(ledger, MARKET, market=market).records()
        resources = ask(ledger, RESOURCES, market=market).records()
    if not found:
        return None
    return Listing(found[0], {row.pop("resource"): row for row in resources})


def change_text(market: str, before: Listing | None, opened: MarketOpened) -> str:
    """What an opening did, in one line or, where it changed a market, one for each change."""
    after = opened.model_dump()
    if before is None:
        offered = (f"{rules.supply:,} {name}" for name, rules in opened.resources.items())
        return f"market {market} is open: {', '.join(offered)} in each window"
    changes = [*_changes(before.market, after), *_resource_changes(before.resources, after)]
    if not before.market["open"]:
        changes.insert(0, "it was closed")
    if not changes:
        return f"market {market} is open as it was: nothing changed"
    return "\n  ".join([f"market {market} replaced:", *changes])


def _resource_changes(before: dict[str, Values], after: Values) -> Iterator[str]:
    resources: dict[str, Values] = after["resources"]
    for name in sorted(before.keys() - resources.keys()):
        yield f"{name}: no longer offered"
    for name, rules in sorted(resources.items()):
        if name not in before:
            yield f"{name}: new, supply {rules['supply']:,}"
        else:
            yield from (f"{name}: {change}" for change in _changes(before[name], rules))


def _changes(before: Values, after: Values) -> Iterator[str]:
    for key, old in before.items():
        if key in after and after[key] != old:
            name = key.removesuffix(MONEY).replace("_", " ")
            yield f"{name} {_value(key, old)} → {_value(key, after[key])}"


def _value(key: str, value: Any) -> str:
    if key.endswith(MONEY):
        return credits_text(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
