"""Reads a message of the log into events, by hand, as SEMANTICS §1, §2 and §9 ask.

Promise: nothing here raises. A subject outside the table has no address, a message that is no JSON
at all is one malformed event, and inside an array each bad element is one, in its place. A field
holds exactly what the page says: no float for an integer, no null, no second key of one name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.twin.json_text import read_elements

Event = dict[str, Any]
Check = Callable[[Any], bool]
Form = tuple[dict[str, Check], dict[str, Check]]

INT64_MAX: Final = 2**63 - 1
RESERVED_ACCOUNTS: Final = ("treasury", "house")
METERS: Final = [str(number) for number in range(64)]
OUTCOMES: Final = (
    *("completed", "partial", "cancelled", "refused"),
    *("failed", "lost", "unmetered", "abandoned"),
)
RULES: Final = ("uniform", "uniform_lab", "pay_as_bid", "vickrey")

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UUID7: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_RFC3339: Final = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)


@dataclass(frozen=True, slots=True)
class Address:
    """What a subject says: the channel, its market, and the agent, resource or meter at its end."""

    channel: str
    market: str = ""
    party: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """An event, or None for a malformed one, and the bytes that a dead letter would show."""

    event: Event | None
    text: bytes


def read_address(subject: str) -> Address | None:
    """The address a subject names, or None for a subject that is not in the table of §2."""
    match subject.split("."):
        case ["clock", shard] if shard:
            return Address("clock")
        case ["market", market, ("grant" | "market") as channel] if _is_name(market):
            return Address(channel, market, "treasury")
        case ["market", market, "price", resource] if _is_name(market) and _is_name(resource):
            return Address("price", market, resource)
        case ["market", market, "meter", number] if _is_name(market) and number in METERS:
            return Address("meter", market, number)
        case ["market", market, ("bid" | "transfer") as channel, agent] if _is_name(
            market
        ) and _is_agent(agent):
            return Address(channel, market, agent)
    return None


def read_events(channel: str, payload: bytes) -> list[Reading]:
    """The events of a message in their order; a spoiled message is one malformed event."""
    try:
        elements = read_elements(payload)
    except ValueError:
        return [Reading(None, payload)]
    return [Reading(_read_event(channel, element.value), element.text) for element in elements]


# --- fields ---------------------------------------------------------------------------------------


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _is_agent(value: Any) -> bool:
    return _is_name(value) and value not in RESERVED_ACCOUNTS


def _is_uuid7(value: Any) -> bool:
    return isinstance(value, str) and _UUID7.fullmatch(value) is not None


def _is_timestamp(value: Any) -> bool:
    return isinstance(value, str) and _RFC3339.fullmatch(value) is not None


def _is_purpose(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > 200 or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _is_rule(value: Any) -> bool:
    return isinstance(value, str) and value in RULES


def _whole(low: int, high: int) -> Check:
    # type() and not isinstance(): true is an int to Python, but no number on the wire.
    return lambda value: type(value) is int and low <= value <= high


def _named(value_fits: Check, *, most: int) -> Check:
    def fits(value: Any) -> bool:
        if not isinstance(value, dict) or not 1 <= len(value) <= most:
            return False
        return all(_is_name(name) and value_fits(inner) for name, inner in value.items())

    return fits


def _is_resource(value: Any) -> bool:
    return isinstance(value, dict) and _fits(value, _RESOURCE)


def _fits(fields: Event, form: Form) -> bool:
    required, optional = form
    checks = required | optional
    if not required.keys() <= fields.keys() <= checks.keys():
        return False
    return all(checks[name](value) for name, value in fields.items())


_AMOUNT: Final = _whole(1, 10**15)
_QUANTITY: Final = _whole(1, 10**12)
_SUPPLY: Final = _whole(0, 10**12)
_RESOURCE: Final[Form] = (
    {"supply": _SUPPLY, "initial_price_micros": _AMOUNT},
    {
        "reserve_micros": _whole(0, 10**15),
        "reserve_ratio_ppm": _whole(0, 10**9),
        "allowance_windows": _whole(0, 10**6),
    },
)
_MARKET_OPENED: Final[Form] = (
    {"resources": _named(_is_resource, most=256)},
    {
        "rule": _is_rule,
        "stale_after_windows": _whole(0, INT64_MAX),
        "max_commands": _whole(1, 10**6),
        "lag_windows": _whole(10, 10**6),
        "meters": _whole(1, 64),
    },
)
_EVERY_EVENT: Final[Form] = (
    {"type": lambda value: isinstance(value, str)},
    {"version": _whole(1, 1), "timestamp": _is_timestamp, "scenario_id": _is_name},
)
_COUNTED: Final = _whole(1, INT64_MAX)
_UNIT_BID: Final[Form] = (
    {"resource": _is_name, "quantity": _QUANTITY, "unit_price_micros": _AMOUNT},
    {"min_quantity": _QUANTITY},
)
_BUNDLE: Final[Form] = ({"bundle": _named(_QUANTITY, most=16), "limit_micros": _AMOUNT}, {})
_PURPOSE: Final[dict[str, Check]] = {"purpose": _is_purpose}
_FORMS: Final[dict[str, list[Form]]] = {
    "bid_placed": [_UNIT_BID, _BUNDLE],
    "bid_withdrawn": [({"bid_event_id": _is_uuid7}, {})],
    "credits_transferred": [({"to_agent_id": _is_agent, "amount_micros": _AMOUNT}, _PURPOSE)],
    "credits_granted": [({"agent_id": _is_agent, "amount_micros": _AMOUNT}, _PURPOSE)],
    "market_opened": [_MARKET_OPENED],
    "market_closed": [({}, {})],
    "supply_changed": [({"resource": _is_name, "supply": _SUPPLY}, {})],
    "price_quoted": [({"price_micros": _AMOUNT}, {})],
    "meter_opened": [({"epoch": _COUNTED}, {})],
    "units_held": [
        (
            {
                "epoch": _COUNTED,
                "n": _COUNTED,
                "agent_id": _is_agent,
                "resource": _is_name,
                "quantity": _QUANTITY,
                "window_id": _whole(0, INT64_MAX),
            },
            {},
        )
    ],
    "units_settled": [
        (
            {
                "epoch": _COUNTED,
                "n": _COUNTED,
                "used": _whole(0, 10**12),
                "outcome": lambda value: isinstance(value, str) and value in OUTCOMES,
            },
            {},
        )
    ],
}
_CHANNELS: Final = {
    "bid": ("bid_placed", "bid_withdrawn"),
    "transfer": ("credits_transferred",),
    "grant": ("credits_granted",),
    "market": ("market_opened", "supply_changed", "market_closed"),
    "price": ("price_quoted",),
    "meter": ("meter_opened", "units_held", "units_settled"),
}


def _read_event(channel: str, content: Any) -> Event | None:
    if not isinstance(content, dict) or content.get("type") not in _CHANNELS[channel]:
        return None
    ids_too: Form = ({} if channel == "meter" else {"event_id": _is_uuid7}, {})
    every = _joined(_EVERY_EVENT, ids_too)
    forms = [_joined(every, form) for form in _FORMS[content["type"]]]
    if not any(_fits(content, form) for form in forms):
        return None
    if content.get("min_quantity", 1) > content.get("quantity", 1):
        return None
    ids = {name: content[name].lower() for name in ("event_id", "bid_event_id") if name in content}
    return content | ids


def _joined(one: Form, other: Form) -> Form:
    return one[0] | other[0], one[1] | other[1]
