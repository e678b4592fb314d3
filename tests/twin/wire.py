"""Reads a message of the log into events, by hand, as SEMANTICS §1, §2 and §9 ask.

Promise: nothing here raises. A subject outside the table has no address, a message that is no JSON
at all is one malformed event, and inside an array each bad element is one, in its place. A field
holds exactly what the page says: no float for an integer, no null, no second key of one name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]
Check = Callable[[Any], bool]
Form = tuple[dict[str, Check], dict[str, Check]]

INT64_MAX = 2**63 - 1
MAX_PAYLOAD_BYTES = 2**20
MAX_BATCH_EVENTS = 1_000
MAX_NESTING = 100
RESERVED_ACCOUNTS = ("treasury", "house")
RULES = ("uniform", "uniform_lab", "pay_as_bid", "vickrey")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_UUID7 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII
)
_RFC3339 = re.compile(
    r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
)
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """What a subject says: the channel, its market, and the agent or resource it ends with."""

    channel: str
    market: str = ""
    party: str = ""


def read_address(subject: str) -> Address | None:
    """The address a subject names, or None for a subject that is not in the table of §2."""
    match subject.split("."):
        case ["clock", shard] if shard:
            return Address("clock")
        case ["market", market, ("grant" | "market") as channel] if _is_name(market):
            return Address(channel, market, "treasury")
        case ["market", market, "price", resource] if _is_name(market) and _is_name(resource):
            return Address("price", market, resource)
        case ["market", market, ("bid" | "transfer") as channel, agent] if _is_name(
            market
        ) and _is_agent(agent):
            return Address(channel, market, agent)
    return None


def read_events(channel: str, payload: bytes) -> list[Event | None]:
    """The events of a message in their order, None standing for a malformed one."""
    try:
        content = _read_json(payload)
    except ValueError:
        return [None]
    if not isinstance(content, list):
        return [_read_event(channel, content)]
    if not 1 <= len(content) <= MAX_BATCH_EVENTS:
        return [None]
    return [_read_event(channel, element) for element in content]


# --- JSON -----------------------------------------------------------------------------------------

# Stands where the JSON is well formed but no field may hold it: a float, a number beyond any
# integer type, an object with one key twice. It fits no check, so only its own event is lost.
_UNFIT = object()


def _read_json(payload: bytes) -> Any:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError("payload too large")
    text = payload.decode("utf-8")
    if _is_too_deep(text):
        raise ValueError("nested too deep")
    return json.loads(
        text,
        object_pairs_hook=_read_object,
        parse_int=lambda digits: int(digits) if len(digits) <= 20 else _UNFIT,
        parse_float=lambda _: _UNFIT,
        parse_constant=_refuse_constant,
    )


def _is_too_deep(text: str) -> bool:
    depth = 0
    for mark in re.finditer(r"[\[\]{}]", _JSON_STRING.sub("", text)):
        depth += 1 if mark[0] in "[{" else -1
        if depth > MAX_NESTING:
            return True
    return False


def _read_object(pairs: list[tuple[str, Any]]) -> Any:
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else _UNFIT


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


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
    if not isinstance(value, str) or len(value) > 200:
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


_AMOUNT = _whole(1, 10**15)
_QUANTITY = _whole(1, 10**12)
_SUPPLY = _whole(0, 10**12)
_RESOURCE: Form = (
    {"supply": _SUPPLY, "initial_price_micros": _AMOUNT},
    {"reserve_micros": _whole(0, 10**15), "reserve_ratio_ppm": _whole(0, 10**9)},
)
_EVERY_COMMAND: Form = (
    {"type": lambda value: isinstance(value, str), "event_id": _is_uuid7},
    {"version": _whole(1, 1), "timestamp": _is_timestamp, "scenario_id": _is_name},
)
_FORMS: dict[str, list[Form]] = {
    "bid_placed": [
        (
            {"resource": _is_name, "quantity": _QUANTITY, "unit_price_micros": _AMOUNT},
            {"min_quantity": _QUANTITY},
        ),
        ({"bundle": _named(_QUANTITY, most=16), "limit_micros": _AMOUNT}, {}),
    ],
    "bid_withdrawn": [({"bid_event_id": _is_uuid7}, {})],
    "credits_transferred": [
        ({"to_agent_id": _is_agent, "amount_micros": _AMOUNT}, {"purpose": _is_purpose})
    ],
    "credits_granted": [({"agent_id": _is_agent, "amount_micros": _AMOUNT}, {})],
    "market_opened": [
        (
            {"resources": _named(_is_resource, most=INT64_MAX)},
            {"rule": _is_rule, "stale_after_windows": _whole(0, INT64_MAX)},
        )
    ],
    "supply_changed": [({"resource": _is_name, "supply": _SUPPLY}, {})],
    "price_quoted": [({"price_micros": _AMOUNT}, {})],
}
_CHANNELS = {
    "bid": ("bid_placed", "bid_withdrawn"),
    "transfer": ("credits_transferred",),
    "grant": ("credits_granted",),
    "market": ("market_opened", "supply_changed"),
    "price": ("price_quoted",),
}


def _read_event(channel: str, content: Any) -> Event | None:
    if not isinstance(content, dict) or content.get("type") not in _CHANNELS[channel]:
        return None
    forms = [_joined(_EVERY_COMMAND, form) for form in _FORMS[content["type"]]]
    if not any(_fits(content, form) for form in forms):
        return None
    if content.get("min_quantity", 1) > content.get("quantity", 1):
        return None
    ids = {name: content[name].lower() for name in ("event_id", "bid_event_id") if name in content}
    return content | ids


def _joined(one: Form, other: Form) -> Form:
    return one[0] | other[0], one[1] | other[1]
