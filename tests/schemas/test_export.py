"""The JSON Schemas: current on disk, and as strict as the models they come from."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from walras_schemas import (
    COMMANDS,
    EVENT_ID_PATTERN,
    METER_EVENTS,
    NAME_PATTERN,
    RESULTS,
    TIMESTAMP_PATTERN,
)
from walras_schemas.export import render_schemas

ROOT: Final = Path(__file__).parents[2]
NAME: Final = {"type": "string", "pattern": NAME_PATTERN}
AGENT: Final = NAME | {"not": {"enum": ["house", "treasury"]}}
EVENT_ID: Final = {"type": "string", "pattern": EVENT_ID_PATTERN}
AMOUNT: Final = {"type": "integer", "minimum": 1, "maximum": 10**15}
QUANTITY: Final = {"type": "integer", "minimum": 1, "maximum": 10**12}
EVENTS: Final = COMMANDS | METER_EVENTS
COUNTED: Final = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
SUPPLY: Final = {"type": "integer", "minimum": 0, "maximum": 10**12}
PURPOSE: Final = {"type": "string", "maxLength": 200, "pattern": "^[^\\x00]*$"}
RULES: Final = {
    "type": "object",
    "additionalProperties": False,
    "required": ["supply", "initial_price_micros"],
    "properties": {
        "supply": SUPPLY,
        "initial_price_micros": AMOUNT,
        "reserve_micros": AMOUNT | {"minimum": 0, "default": 0},
        "reserve_ratio_ppm": {"type": "integer", "minimum": 0, "maximum": 10**9, "default": 0},
        "allowance_windows": {"type": "integer", "minimum": 0, "maximum": 10**6, "default": 0},
    },
}
COMMON: Final = {
    "version": {"type": "integer", "const": 1, "minimum": 1, "maximum": 1, "default": 1},
    "event_id": EVENT_ID,
    "timestamp": {"type": "string", "pattern": TIMESTAMP_PATTERN},
    "scenario_id": NAME,
}
OWN: Final[dict[str, dict[str, Any]]] = {
    "bid_placed": {
        "resource": NAME,
        "quantity": QUANTITY,
        "unit_price_micros": AMOUNT,
        "min_quantity": QUANTITY,
        "bundle": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 16,
            "propertyNames": NAME,
            "additionalProperties": QUANTITY,
        },
        "limit_micros": AMOUNT,
    },
    "bid_withdrawn": {"bid_event_id": EVENT_ID},
    "credits_transferred": {
        "to_agent_id": AGENT,
        "amount_micros": AMOUNT,
        "purpose": PURPOSE,
    },
    "credits_granted": {"agent_id": AGENT, "amount_micros": AMOUNT, "purpose": PURPOSE},
    "market_opened": {
        "rule": {
            "type": "string",
            "enum": ["uniform", "uniform_lab", "pay_as_bid", "vickrey"],
            "default": "uniform",
        },
        "stale_after_windows": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**63 - 1,
            "default": 60,
        },
        "max_commands": {"type": "integer", "minimum": 1, "maximum": 10**6, "default": 1000},
        "lag_windows": {"type": "integer", "minimum": 10, "maximum": 10**6, "default": 600},
        "meters": {"type": "integer", "minimum": 1, "maximum": 64, "default": 1},
        "resources": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 256,
            "propertyNames": NAME,
            "additionalProperties": RULES,
        },
    },
    "market_closed": {},
    "supply_changed": {"resource": NAME, "supply": SUPPLY},
    "price_quoted": {"price_micros": AMOUNT},
    "meter_opened": {"epoch": COUNTED},
    "units_held": {
        "epoch": COUNTED,
        "n": COUNTED,
        "agent_id": AGENT,
        "resource": NAME,
        "quantity": QUANTITY,
        "window_id": COUNTED | {"minimum": 0},
    },
    "units_settled": {
        "epoch": COUNTED,
        "n": COUNTED,
        "used": SUPPLY,
        "outcome": {
            "type": "string",
            "enum": [
                *("completed", "partial", "cancelled", "refused"),
                *("failed", "lost", "unmetered", "abandoned"),
            ],
        },
    },
}
REQUIRED: Final = {
    "bid_placed": set(),
    "bid_withdrawn": {"bid_event_id"},
    "credits_transferred": {"to_agent_id", "amount_micros"},
    "credits_granted": {"agent_id", "amount_micros"},
    "market_opened": {"resources"},
    "market_closed": set(),
    "supply_changed": {"resource", "supply"},
    "price_quoted": {"price_micros"},
    "meter_opened": {"epoch"},
    "units_held": {"epoch", "n", "agent_id", "resource", "quantity", "window_id"},
    "units_settled": {"epoch", "n", "used", "outcome"},
}


def bare(schema: Any) -> Any:
    """A schema with what only people read taken out, and its definitions put in their place."""
    return _bare(schema, schema.get("$defs", {}))


def _bare(schema: Any, defs: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_bare(part, defs) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _bare(defs[schema["$ref"].removeprefix("#/$defs/")], defs)
    kept = {key: part for key, part in schema.items() if not _is_prose(key, part)}
    return {key: _bare(part, defs) for key, part in kept.items() if key != "$defs"}


def _is_prose(key: str, part: Any) -> bool:
    return key in ("title", "description") and isinstance(part, str)


def test_the_schemas_on_disk_are_current() -> None:
    """A stale file would let a program in another language send what the market refuses."""
    found = {
        path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("schemas/json/*.json")
    }
    assert render_schemas() == found, "run: python -m walras_schemas.export schemas/json"


def test_every_event_has_its_file() -> None:
    """An event without a schema is one that only Python can speak."""
    assert {f"{event}.json" for event in EVENTS | RESULTS} == set(render_schemas())


@pytest.mark.parametrize("event", EVENTS)
def test_a_schema_states_every_limit_of_its_fields(event: str) -> None:
    """The fast decoder is derived from the schema: a limit missing there is a limit not kept."""
    expected = COMMON | {"type": {"type": "string", "const": event}} | OWN[event]
    if event in METER_EVENTS:
        del expected["event_id"]
    assert expected == bare(EVENTS[event].model_json_schema())["properties"]


@pytest.mark.parametrize("event", EVENTS)
def test_a_schema_closes_its_object(event: str) -> None:
    """Without these two a reader of the schema takes unknown fields and misses required ones."""
    schema = EVENTS[event].model_json_schema()
    assert schema["additionalProperties"] is False
    ids = set() if event in METER_EVENTS else {"event_id"}
    assert {"type"} | ids | REQUIRED[event] == set(schema["required"])


def test_the_schema_of_a_bid_tells_its_two_forms_apart() -> None:
    """As far as a schema can: the fields of one form exclude those of the other."""
    unit_bid = {
        "required": ["resource", "quantity", "unit_price_micros"],
        "properties": {"bundle": False, "limit_micros": False, "min_quantity": {"default": 1}},
    }
    of_a_unit_bid = ("resource", "quantity", "unit_price_micros", "min_quantity")
    bundle = {
        "required": ["bundle", "limit_micros"],
        "properties": dict.fromkeys(of_a_unit_bid, False),
    }
    expected = [unit_bid, bundle]
    assert expected == bare(COMMANDS["bid_placed"].model_json_schema())["oneOf"]


@pytest.mark.parametrize("text", render_schemas().values(), ids=render_schemas())
def test_a_file_is_plain_sorted_text(text: str) -> None:
    """Files that change without a change of the registry hide the changes that matter."""
    assert json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n" == text


def test_the_export_writes_what_is_committed(tmp_path: Path) -> None:
    """The command in the hint above must be the one that mends the files."""
    export = [sys.executable, "-m", "walras_schemas.export", str(tmp_path / "new")]
    subprocess.run(export, check=True, capture_output=True, cwd=ROOT / "schemas")
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("new/*")}
    assert render_schemas() == written
