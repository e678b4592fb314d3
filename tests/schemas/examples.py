"""One well-formed message of every kind, and how the registry answers to a text."""

import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from walras_schemas import LogEvent

EVENT_ID: Final = "01890a5d-ac96-774b-bcce-b302099a8057"
BID_EVENT_ID: Final = "01890a5d-ac96-7ab2-80e2-4536629c90de"
COMMAND: Final[TypeAdapter[LogEvent]] = TypeAdapter(LogEvent)

# The commands as the semantics show them, word for word but for the ids they shorten.
SHOWN: Final = {
    "unit bid": (
        '{"type": "bid_placed", "event_id": "0199...", "resource": "tokens", "quantity": 500,'
        ' "unit_price_micros": 1500, "min_quantity": 1}'
    ),
    "bundle": (
        '{"type": "bid_placed", "event_id": "0199...",'
        ' "bundle": {"tokens": 500, "cpu_ms": 2000}, "limit_micros": 145000000}'
    ),
    "withdrawal": '{"type": "bid_withdrawn", "event_id": "0199...", "bid_event_id": "0199..."}',
    "transfer": (
        '{"type": "credits_transferred", "event_id": "0199...", "to_agent_id": "a2",'
        ' "amount_micros": 50000000, "purpose": "service"}'
    ),
    "grant": (
        '{"type": "credits_granted", "event_id": "0199...", "agent_id": "a1",'
        ' "amount_micros": 1000000000, "purpose": "reward"}'
    ),
    "market": (
        '{"type": "market_opened", "event_id": "0199...", "rule": "uniform",'
        ' "stale_after_windows": 60, "max_commands": 1000,\n "resources": {"tokens":'
        ' {"supply": 100000, "initial_price_micros": 1000, "reserve_micros": 0,'
        ' "reserve_ratio_ppm": 0, "allowance_windows": 10}}}'
    ),
    "closing": '{"type": "market_closed", "event_id": "0199..."}',
    "supply": (
        '{"type": "supply_changed", "event_id": "0199...", "resource": "tokens", "supply": 50000}'
    ),
    "meter": '{"type": "meter_opened", "epoch": 1}',
    "hold": (
        '{"type": "units_held", "epoch": 1, "n": 1, "agent_id": "a1", "resource": "tokens",'
        ' "quantity": 115, "window_id": 1795366296}'
    ),
    "settlement": (
        '{"type": "units_settled", "epoch": 1, "n": 1, "used": 97, "outcome": "completed"}'
    ),
    "price": '{"type": "price_quoted", "event_id": "0199...", "price_micros": 1200}',
}
WIRE: Final = {name: text.replace("0199...", EVENT_ID) for name, text in SHOWN.items()}


def example(name: str, /, **changes: object) -> dict[str, Any]:
    """An example as plain JSON, with some of its fields changed or added."""
    message: dict[str, Any] = json.loads(WIRE[name])
    return message | changes


def without(name: str, *fields: str) -> dict[str, Any]:
    """An example as plain JSON, with some of its fields left out."""
    return {field: value for field, value in example(name).items() if field not in fields}


def refusals(message: object) -> list[tuple[str, str]]:
    """Where and why the registry refuses a message, given as its text or as plain JSON."""
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    return _refusals(COMMAND.validate_json, text)


def refusals_when_parsed(text: str) -> list[tuple[str, str]]:
    """The same for a decoder that parses JSON by itself and hands over what it read."""
    return _refusals(COMMAND.validate_python, json.loads(text))


def _refusals(read: Callable[[Any], LogEvent], message: object) -> list[tuple[str, str]]:
    try:
        read(message)
    except ValidationError as refused:
        return [(".".join(map(str, e["loc"][1:])), e["type"]) for e in refused.errors()]
    return []
