"""Which controller prices which resource: the operator's choice, from a file to the pricing flow.

In a market file it is the table `[resources.<name>.pricing]`. No event has it: the choice is kept
in the ledger, and a running pricing flow reads it for each window. Promise: what is accepted here
can be followed; a choice that could only ever raise its price is refused.
"""

from typing import Any

import msgspec
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.reads.pricing import listed_choices, past_windows, replace_choices
from operators.pricing_rules import Controller, Ewma, Observation, Vwap, default_rule
from operators.quote import Plan
from state.errors import SettingsError
from state.market import PPM

TABLE = "pricing"
Keys = dict[str, Any]


def parse_plan(keys: Keys) -> tuple[Keys, Plan]:
    """The keys of a market file without its pricing tables, and the plan that these make."""
    resources = keys.get("resources")
    if not isinstance(resources, dict):
        return keys, {}
    plan = {
        name: _controller(name, table)
        for name, table in resources.items()
        if isinstance(table, dict) and TABLE in table
    }
    return {**keys, "resources": {name: _listed(table) for name, table in resources.items()}}, plan


def save_plan(postgres_dsn: str, market: str, plan: Plan) -> None:
    """Keep the choices for a market, before it is opened; those of an earlier opening end."""
    with connect(postgres_dsn) as conn:
        choices = {name: msgspec.json.encode(chosen).decode() for name, chosen in plan.items()}
        replace_choices(conn, market, choices)


def read_plan(conn: Connection, market: str) -> Plan:
    """The controller of each resource that the market lists now."""
    return {
        listed.resource: default_rule(reserve_ratio_ppm=listed.reserve_ratio_ppm)
        if listed.choice is None
        else msgspec.json.decode(listed.choice, type=Controller)
        for listed in listed_choices(conn, market)
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
    ratio_ppm = table.get("reserve_ratio_ppm", 0)
    if isinstance(controller, Vwap | Ewma) and isinstance(ratio_ppm, int) and ratio_ppm >= PPM:
        raise _wrong(
            name,
            f"with reserve_ratio_ppm {ratio_ppm} nothing is sold below the price, so that an "
            "average of what was sold can never fall",
        )
    return controller


def _wrong(name: str, detail: str) -> SettingsError:
    return SettingsError(
        "the pricing of a resource is wrong",
        detail=f"resources.{name}.{TABLE}: {detail}",
        hint="docs/pricing.md lists the controllers, their settings and which one fits",
    )
