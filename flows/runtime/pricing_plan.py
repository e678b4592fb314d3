"""Which controller prices which resource: the operator's choice, from a file to the pricing flow.

In a market file it is the table `[resources.<name>.pricing]`. No event has it: the choice is kept
in the ledger, and a running pricing flow reads it for each window. Promise: what is accepted here
can be followed; a choice that could only ever raise its price is refused.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.reads.pricing import listed_choices, past_windows, replace_choices
from operators.pricing_rules import (
    Controller,
    Ewma,
    Fixed,
    Observation,
    Tatonnement,
    Vwap,
    default_rule,
    on_reserves,
)
from operators.quote import Plan
from state.errors import SettingsError
from state.market import PPM

TABLE = "pricing"
Keys = dict[str, Any]

Choices = Mapping[str, Controller]
"""Resource to the controller that the operator chose for it; one without a choice is absent."""


def parse_choices(keys: Keys) -> tuple[Keys, Choices]:
    """The keys of a market file without its pricing tables, and what these choose."""
    resources = keys.get("resources")
    if not isinstance(resources, dict):
        return keys, {}
    choices = {
        name: _controller(name, table)
        for name, table in resources.items()
        if isinstance(table, dict) and TABLE in table
    }
    return {
        **keys,
        "resources": {name: _listed(table) for name, table in resources.items()},
    }, choices


def save_choices(postgres_dsn: str, market: str, choices: Choices) -> None:
    """Keep the choices for a market, before it is opened; those of an earlier opening end."""
    with connect(postgres_dsn) as conn:
        texts = {name: msgspec.json.encode(chosen).decode() for name, chosen in choices.items()}
        replace_choices(conn, market, texts)


def read_plan(conn: Connection, market: str) -> Plan:
    """The rule of each resource that the market lists now, on the reserves that it lists."""
    listed = listed_choices(conn, market)
    return {
        each.resource: on_reserves(
            default_rule(listed=len(listed), reserve_ratio_ppm=each.reserve_ratio_ppm)
            if each.choice is None
            else msgspec.json.decode(each.choice, type=Controller),
            reserve_micros=each.reserve_micros,
            reserve_ratio_ppm=each.reserve_ratio_ppm,
        )
        for each in listed
    }


def read_past(
    conn: Connection, market: str, plan: Plan, before_window: int
) -> dict[str, list[Observation]]:
    """The past windows that the controllers of a plan need before this one."""
    return {
        name: [
            Observation(*row)
            for row in past_windows(
                conn,
                market,
                name,
                before_window=before_window,
                sales=controller.remembered_sales,
            )
        ]
        for name, controller in plan.items()
    }


def _listed(table: Any) -> Any:
    if not isinstance(table, dict):
        return table
    return {key: value for key, value in table.items() if key != TABLE}


def _controller(name: str, table: Keys) -> Controller:
    chosen = table[TABLE]
    if isinstance(chosen, dict) and chosen.get("controller") == "fixed":
        chosen = {"price_micros": table.get("initial_price_micros"), **chosen}
    try:
        controller: Controller = msgspec.convert(chosen, type=Controller)
    except msgspec.ValidationError as error:
        raise _wrong(name, str(error).replace("`$.", "`")) from error
    _check_reserves(name, controller, table)
    return controller


def _check_reserves(name: str, controller: Controller, table: Keys) -> None:
    """Refuse what could only ever raise its price, or not reach its reserve."""
    ratio_ppm, reserve_micros = (
        value if isinstance(value := table.get(key, 0), int) else 0
        for key in ("reserve_ratio_ppm", "reserve_micros")
    )
    if isinstance(controller, Vwap | Ewma) and ratio_ppm >= PPM:
        raise _wrong(
            name,
            f"with reserve_ratio_ppm {ratio_ppm} nothing is sold below the price, so that an "
            "average of what was sold can never fall",
        )
    if isinstance(controller, Tatonnement) and ratio_ppm > PPM:
        raise _wrong(
            name,
            f"with reserve_ratio_ppm {ratio_ppm} every price paid is above the reference price, "
            "which would follow it up until nothing is sold; eip1559 can price it",
        )
    if not isinstance(controller, Fixed) and controller.max_micros < reserve_micros:
        raise _wrong(
            name,
            f"max_micros {controller.max_micros} is below reserve_micros {reserve_micros}: "
            "the price could never reach what a unit costs at least",
        )


def _wrong(name: str, detail: str) -> SettingsError:
    return SettingsError(
        "the pricing of a resource is wrong",
        detail=f"resources.{name}.{TABLE}: {detail}",
        hint="docs/pricing.md lists the controllers, their settings and which one fits",
    )
