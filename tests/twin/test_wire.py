"""The forms of SEMANTICS §9 as the twin reads them, bound by bound."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from tests.twin.wire import Address, read_address, read_events

ID: Final = "0199d6f2-7c00-7abc-8def-0123456789ab"
GPU: Final = {"supply": 1, "initial_price_micros": 1}


def is_event(channel: str, content: Any) -> bool:
    [reading] = read_events(channel, json.dumps(content).encode())
    return reading.event is not None


def opening(**values: Any) -> dict[str, Any]:
    return {"type": "market_opened", "event_id": ID, "resources": {"gpu": GPU}} | values


def grant(**values: Any) -> dict[str, Any]:
    event = {"type": "credits_granted", "event_id": ID, "agent_id": "a1", "amount_micros": 1}
    return event | values


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("max_commands", 1, 10**6),
        ("lag_windows", 10, 10**6),
        ("meters", 1, 64),
        ("stale_after_windows", 0, 2**63 - 1),
    ],
)
def test_an_opening_keeps_its_bounds(name: str, low: int, high: int) -> None:
    """A bound that is off by one splits two readers of one log."""
    values = (low - 1, low, high, high + 1)
    assert [False, True, True, False] == [
        is_event("market", opening(**{name: value})) for value in values
    ]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("supply", 0, 10**12),
        ("initial_price_micros", 1, 10**15),
        ("reserve_micros", 0, 10**15),
        ("reserve_ratio_ppm", 0, 10**9),
        ("allowance_windows", 0, 10**6),
    ],
)
def test_a_resource_keeps_its_bounds(name: str, low: int, high: int) -> None:
    """A bound that is off by one splits two readers of one log."""
    values = (low - 1, low, high, high + 1)
    listings = [opening(resources={"gpu": GPU | {name: value}}) for value in values]
    assert [False, True, True, False] == [is_event("market", listing) for listing in listings]


def test_a_market_lists_up_to_256_resources() -> None:
    """A market of any size would make windows of any size."""
    listings = [opening(resources={f"r{n}": GPU for n in range(count)}) for count in (0, 256, 257)]
    assert [False, True, False] == [is_event("market", listing) for listing in listings]


def test_a_closing_says_nothing_else() -> None:
    """A closing with a field that nobody reads would promise what it does not do."""
    closing = {"type": "market_closed", "event_id": ID}
    assert is_event("market", closing)
    assert not is_event("market", closing | {"rule": "uniform"})
    assert not is_event("grant", closing)
    assert not is_event("market", {"type": "market_closed"})


FIT: Final = ["", "\U0001f4b6" * 200]
UNFIT: Final = ["x" * 201, "a\0b", "\ud83d", None]


def test_a_purpose_is_text_that_a_database_can_hold() -> None:
    """Postgres holds no U+0000, so a grant that carried one could never be committed."""
    transfer: dict[str, Any] = {"type": "credits_transferred", "event_id": ID, "amount_micros": 1}
    transfer["to_agent_id"] = "a1"
    for channel, event in (("grant", grant()), ("transfer", transfer)):
        assert [True] * 2 == [is_event(channel, event | {"purpose": text}) for text in FIT]
        assert [False] * 4 == [is_event(channel, event | {"purpose": text}) for text in UNFIT]


@pytest.mark.parametrize("levels", [99, 100])
def test_nesting_spoils_the_message_above_100_levels(levels: int) -> None:
    """One reader's deepest element would be another's spoiled message."""
    nested = "[" * levels + "]" * levels
    readings = read_events("grant", f"[{json.dumps(grant())}, {nested}]".encode())
    assert (2 if levels < 100 else 1) == len(readings)
    assert (levels < 100) is (readings[0].event is not None)


def test_a_bracket_in_a_text_is_no_nesting() -> None:
    """A purpose full of brackets must not spoil a batch."""
    assert is_event("grant", grant(purpose='[{"' * 60))


def test_one_bad_element_spoils_itself_alone() -> None:
    """A repeated key or a huge number is well-formed JSON: the others of the batch stand."""
    good = json.dumps(grant())
    bad = [good[:-1] + ', "agent_id": "a1"}', good.replace(": 1", ": 1e999"), "9" * 5_000, "[]"]
    readings = read_events("grant", f"[{', '.join([good, *bad, good])}]".encode())
    assert [True, False, False, False, False, True] == [r.event is not None for r in readings]
    assert [text.encode() for text in (good, *bad, good)] == [r.text for r in readings]


@pytest.mark.parametrize("number", ["", "00", "01", "64", "-1", "+1", "1.0", "a", "\u0661"])
def test_a_meter_is_a_decimal_from_0_to_63(number: str) -> None:
    """Two subjects of one meter would be two chains."""
    assert None is read_address(f"market.m1.meter.{number}")
    assert Address("meter", "m1", "63") == read_address("market.m1.meter.63")


def meter_event(type_: str, **fields: Any) -> dict[str, Any]:
    own = {
        "meter_opened": {},
        "units_held": {"n": 1, "agent_id": "a1", "resource": "gpu", "quantity": 1, "window_id": 0},
        "units_settled": {"n": 1, "used": 0, "outcome": "lost"},
    }
    return {"type": type_, "epoch": 1} | own[type_] | fields


@pytest.mark.parametrize(
    ("event", "name", "low", "high"),
    [
        *((event, "epoch", 1, 2**63 - 1) for event in ("meter_opened", "units_held")),
        ("units_held", "n", 1, 2**63 - 1),
        ("units_held", "quantity", 1, 10**12),
        ("units_held", "window_id", 0, 2**63 - 1),
        ("units_settled", "n", 1, 2**63 - 1),
        ("units_settled", "used", 0, 10**12),
    ],
)
def test_numbers_of_meters_end_where_the_page_says(
    event: str, name: str, low: int, high: int
) -> None:
    """A bound that is one off makes an honest event a dead letter."""
    for number, fits in ((low, True), (high, True), (low - 1, False), (high + 1, False)):
        assert fits is is_event("meter", meter_event(event, **{name: number}))


def test_events_of_meters_have_no_id() -> None:
    """The chain stands in its place."""
    assert is_event("meter", meter_event("meter_opened", version=1, scenario_id="storm-1"))
    assert not is_event("meter", meter_event("meter_opened", event_id=ID))
    assert not is_event("market", meter_event("meter_opened"))
    assert not is_event("meter", meter_event("units_settled", outcome="done"))
