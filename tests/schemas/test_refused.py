"""What the registry refuses, in tables: the value, and the reason it is refused for."""

import json
from typing import Final

import pytest

from tests.schemas.examples import (
    BID_EVENT_ID,
    EVENT_ID,
    WIRE,
    example,
    refusals,
    refusals_when_parsed,
    without,
)

# Where an integer may stand: the example, the field, and the first values outside its range.
INTEGERS: Final = [
    ("unit bid", "quantity", 0, 10**12 + 1),
    ("unit bid", "unit_price_micros", 0, 10**15 + 1),
    ("unit bid", "min_quantity", 0, 10**12 + 1),
    ("bundle", "bundle.tokens", 0, 10**12 + 1),
    ("bundle", "limit_micros", 0, 10**15 + 1),
    ("transfer", "amount_micros", 0, 10**15 + 1),
    ("grant", "amount_micros", 0, 10**15 + 1),
    ("market", "stale_after_windows", -1, 2**63),
    ("market", "max_commands", 0, 10**6 + 1),
    ("market", "lag_windows", 9, 10**6 + 1),
    ("market", "meters", 0, 65),
    ("market", "resources.tokens.supply", -1, 10**12 + 1),
    ("market", "resources.tokens.initial_price_micros", 0, 10**15 + 1),
    ("market", "resources.tokens.reserve_micros", -1, 10**15 + 1),
    ("market", "resources.tokens.reserve_ratio_ppm", -1, 10**9 + 1),
    ("market", "resources.tokens.allowance_windows", -1, 10**6 + 1),
    ("supply", "supply", -1, 10**12 + 1),
    ("price", "price_micros", 0, 10**15 + 1),
    ("price", "version", 0, 2),
    ("meter", "epoch", 0, 2**63),
    ("hold", "epoch", 0, 2**63),
    ("hold", "n", 0, 2**63),
    ("hold", "quantity", 0, 10**12 + 1),
    ("hold", "window_id", -1, 2**63),
    ("settlement", "n", 0, 2**63),
    ("settlement", "used", -1, 10**12 + 1),
]
NO_INTEGERS: Final = [
    *("0.5", "1.0", "1e3", "true", "null", '"1"', "NaN", "Infinity", "-Infinity", "[1]"),
    *("{}", '""'),
]

# Where a name may stand.
NAMES: Final = [
    ("unit bid", "resource"),
    ("unit bid", "scenario_id"),
    ("transfer", "to_agent_id"),
    ("grant", "agent_id"),
    ("supply", "resource"),
    ("hold", "agent_id"),
    ("hold", "resource"),
]
NO_NAMES: Final = [
    *("", "A1", "a.b", "*", ">", "a*", "a b", " a", "a ", "a\n", "\na", "a\r\n", "ä"),
    *("-a", "_a", "a" * 65, "a\x00", "a/b", "\N{CYRILLIC SMALL LETTER A}"),
    "\N{FULLWIDTH DIGIT ONE}",
]

# Where an event id may stand.
EVENT_IDS: Final = [
    ("unit bid", "event_id"),
    ("withdrawal", "event_id"),
    ("withdrawal", "bid_event_id"),
]
NO_EVENT_IDS: Final = {
    "version 4": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "version 1": "c232ab00-9414-11ec-b3c8-9f6bdeced846",
    "version 6": "1ec9414c-232a-6b00-b3c8-9f6bdeced846",
    "nil": "00000000-0000-0000-0000-000000000000",
    "max": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "another variant": "01890a5d-ac96-774b-ccce-b302099a8057",
    "no dashes": EVENT_ID.replace("-", ""),
    "braces": f"{{{EVENT_ID}}}",
    "urn": f"urn:uuid:{EVENT_ID}",
    "trailing newline": f"{EVENT_ID}\n",
    "leading space": f" {EVENT_ID}",
    "too long": f"{EVENT_ID}0",
    "too short": EVENT_ID[:-1],
    "no hex": EVENT_ID.replace("d", "g"),
    "empty": "",
}
NO_STRINGS: Final = ["1", "1.5", "true", "null", "[]", "{}", "NaN"]


def put(name: str, path: str, value: str) -> str:
    """An example's text with the JSON text of a value put at a dotted path."""
    message = example(name)
    *parents, last = path.split(".")
    holder = message
    for parent in parents:
        holder = holder[parent]
    holder[last] = "<here>"
    return json.dumps(message).replace('"<here>"', value)


@pytest.mark.parametrize("value", NO_INTEGERS)
@pytest.mark.parametrize(("name", "path"), [row[:2] for row in INTEGERS])
def test_only_an_integer_is_an_integer(name: str, path: str, value: str) -> None:
    """A float or a text that became an amount would let rounding into the ledger."""
    text = put(name, path, value)
    assert [(path, "int_type")] == refusals(text) == refusals_when_parsed(text)


@pytest.mark.parametrize(("name", "path", "below", "above"), INTEGERS)
def test_an_integer_outside_its_range_is_refused(
    name: str, path: str, below: int, above: int
) -> None:
    """A negative quantity would pay the bidder; a huge one would leave 64 bits."""
    too_small = [(path, "greater_than_equal")]
    too_large = [(path, "less_than_equal")]
    assert [too_small, too_small, too_large, too_large] == [
        refusals(put(name, path, str(value))) for value in (below, -(10**30), above, 10**30)
    ]


@pytest.mark.parametrize("value", NO_NAMES)
@pytest.mark.parametrize(("name", "path"), NAMES)
def test_a_text_that_is_no_name_is_refused(name: str, path: str, value: str) -> None:
    """A name with a dot, a wildcard or a newline would reach another subject or account."""
    text = put(name, path, json.dumps(value))
    expected = [(path, "string_pattern_mismatch")]
    assert expected == refusals(text) == refusals_when_parsed(text)


@pytest.mark.parametrize("value", NO_NAMES)
@pytest.mark.parametrize(("name", "field"), [("bundle", "bundle"), ("market", "resources")])
def test_a_key_that_is_no_name_is_refused(name: str, field: str, value: str) -> None:
    """The keys of a bundle and of a market are resource names like any other."""
    known = example(name)[field]
    message = example(name, **{field: known | {value: known["tokens"]}})
    assert [(f"{field}.{value}.[key]", "string_pattern_mismatch")] == refusals(message)


@pytest.mark.parametrize("value", NO_EVENT_IDS.values(), ids=NO_EVENT_IDS)
@pytest.mark.parametrize(("name", "path"), EVENT_IDS)
def test_only_a_canonical_uuid7_is_an_event_id(name: str, path: str, value: str) -> None:
    """The market reads time from the id: any other kind of id would be a random time."""
    text = put(name, path, json.dumps(value))
    expected = [(path, "string_pattern_mismatch")]
    assert expected == refusals(text) == refusals_when_parsed(text)


@pytest.mark.parametrize("value", NO_STRINGS)
@pytest.mark.parametrize(
    ("name", "path"), [*NAMES, *EVENT_IDS, ("transfer", "purpose"), ("unit bid", "timestamp")]
)
def test_only_a_string_is_a_string(name: str, path: str, value: str) -> None:
    """A number where a string is asked for is another language's guess; null is not absence."""
    text = put(name, path, value)
    assert [(path, "string_type")] == refusals(text) == refusals_when_parsed(text)


@pytest.mark.parametrize("value", ["treasury", "house"])
@pytest.mark.parametrize(("name", "path"), [("transfer", "to_agent_id"), ("grant", "agent_id")])
def test_the_accounts_of_the_market_are_no_agents(name: str, path: str, value: str) -> None:
    """Credits sent to the treasury or the house would mix with the market's own postings."""
    assert [(path, "value_error")] == refusals(example(name, **{path: value}))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-01-32T12:00:00Z",
        "2026-01-00T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00Z\n",
        "٢٠٢٦-01-31T12:00:00Z",
        "1769860800",
    ],
)
def test_a_text_that_is_no_rfc_3339_time_is_refused(value: str) -> None:
    """Readers of the log must be able to parse every time that is in it."""
    expected = [("timestamp", "string_pattern_mismatch")]
    assert expected == refusals(example("price", timestamp=value))


@pytest.mark.parametrize("name", WIRE)
def test_an_unknown_field_is_refused(name: str) -> None:
    """A misspelled optional field must not be silently ignored, nor an agent name smuggled in."""
    expected = [("agent", "extra_forbidden")]
    assert expected == refusals(example(name, agent="a1"))


def test_an_unknown_field_of_a_resource_is_refused() -> None:
    """The same strictness holds one level deeper."""
    unknown = put("market", "resources.tokens.price", "1")
    expected = [("resources.tokens.price", "extra_forbidden")]
    assert expected == refusals(unknown)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field)
        for name in WIRE
        for field in example(name)
        if name not in ("unit bid", "bundle")
        and field not in ("type", "rule", "stale_after_windows", "max_commands", "purpose")
    ]
    + [("unit bid", "event_id"), ("bundle", "event_id")],
)
def test_a_required_field_cannot_be_left_out(name: str, field: str) -> None:
    """A missing amount or id must never be guessed."""
    assert [(field, "missing")] == refusals(without(name, field))


@pytest.mark.parametrize("field", ["supply", "initial_price_micros"])
def test_a_resource_needs_a_supply_and_a_first_price(field: str) -> None:
    """A market cannot clear what it has no price for."""
    rules = {"supply": 1, "initial_price_micros": 1}
    del rules[field]
    message = example("market", resources={"tokens": rules})
    assert [(f"resources.tokens.{field}", "missing")] == refusals(message)


TABLE: Final = [
    ("a bundle of nothing", example("bundle", bundle={}), ("bundle", "too_short")),
    (
        "a bundle of 17 resources",
        example("bundle", bundle={f"r{n}": 1 for n in range(17)}),
        ("bundle", "too_long"),
    ),
    ("a bundle as a list", example("bundle", bundle=["tokens"]), ("bundle", "dict_type")),
    ("a bundle as null", example("bundle", bundle=None), ("bundle", "dict_type")),
    ("a purpose of 201", example("transfer", purpose="x" * 201), ("purpose", "string_too_long")),
    ("an unknown rule", example("market", rule="english"), ("rule", "literal_error")),
    ("a rule in capitals", example("market", rule="UNIFORM"), ("rule", "literal_error")),
    ("an outcome in capitals", example("settlement", outcome="Lost"), ("outcome", "literal_error")),
    ("an unknown outcome", example("settlement", outcome="done"), ("outcome", "literal_error")),
    ("an id of a meter", example("meter", event_id=EVENT_ID), ("event_id", "extra_forbidden")),
    ("a rule of null", example("market", rule=None), ("rule", "literal_error")),
    ("a market of nothing", example("market", resources={}), ("resources", "too_short")),
    ("resources as null", example("market", resources=None), ("resources", "dict_type")),
    (
        "rules as null",
        put("market", "resources.tokens", "null"),
        ("resources.tokens", "model_type"),
    ),
    ("an unknown type", example("price", type="price_asked"), ("", "union_tag_invalid")),
    ("a result", example("price", type="agent_result"), ("", "union_tag_invalid")),
    ("a type of true", example("price", type=True), ("", "union_tag_invalid")),
    ("a type of null", example("price", type=None), ("", "union_tag_invalid")),
    ("no type", without("price", "type"), ("", "union_tag_not_found")),
    ("an array", [example("price")], ("", "dict_type")),
    ("a string", json.dumps("price_quoted"), ("", "dict_type")),
    ("a number", "1", ("", "dict_type")),
    ("null", "null", ("", "dict_type")),
    ("an empty text", "", ("", "json_invalid")),
    ("half an object", WIRE["price"][:-1], ("", "json_invalid")),
    ("two objects", WIRE["price"] * 2, ("", "json_invalid")),
    ("a comma too many", WIRE["price"][:-1] + ",}", ("", "json_invalid")),
    ("a comment", WIRE["price"] + "//", ("", "json_invalid")),
    ("a sign", put("price", "price_micros", "+1"), ("", "json_invalid")),
    ("a leading zero", put("price", "price_micros", "01"), ("", "json_invalid")),
    ("a lone surrogate", put("transfer", "purpose", r'"\ud800"'), ("", "json_invalid")),
    ("a raw newline", put("transfer", "purpose", '"\n"'), ("", "json_invalid")),
    ("no UTF-8", WIRE["price"].encode().replace(b"0189", b"\xff189"), ("", "json_invalid")),
    ("a deep nest", put("price", "price_micros", "[" * 10**5), ("", "json_invalid")),
]


@pytest.mark.parametrize(
    ("message", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_registry_refuses(message: object, expected: tuple[str, str]) -> None:
    """Each of these would be read differently by another decoder: none may pass."""
    assert [expected] == refusals(message)


def test_half_a_character_is_refused_even_where_a_parser_lets_it_through() -> None:
    """A lone surrogate cannot be written as UTF-8: it would stop the ledger that stores it."""
    expected = [("purpose", "string_unicode")]
    assert expected == refusals_when_parsed(put("transfer", "purpose", r'"\ud800"'))


def test_a_number_of_thousands_of_digits_is_refused_like_any_other() -> None:
    """Python cannot even read such a number: it must be a refusal, not a crash of the decoder."""
    expected = [[("price_micros", "less_than_equal")], [("", "json_invalid")]]
    assert expected == [refusals(put("price", "price_micros", "9" * n)) for n in (4000, 100_000)]


def test_two_different_ids_are_told_apart() -> None:
    """A withdrawal has an id of its own beside the one of its bid."""
    assert not refusals(example("withdrawal", bid_event_id=BID_EVENT_ID))
