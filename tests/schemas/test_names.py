"""The limits of a market are its law: they are the numbers of the semantics."""

import re
from typing import Final

import pytest

import walras_schemas
from walras_schemas import EVENT_ID_PATTERN, NAME_PATTERN, TIMESTAMP_PATTERN, names

LIMITS: Final = {
    "MICROS_PER_CREDIT": 1_000_000,
    "AMOUNT_MAX": 1_000_000_000_000_000,
    "QUANTITY_MAX": 1_000_000_000_000,
    "BATCH_MAX": 1000,
    "PAYLOAD_MAX_BYTES": 1024 * 1024,
    "BUNDLE_MAX": 16,
    "INT64_MAX": 9_223_372_036_854_775_807,
    "DEDUPE_HORIZON_MS": 60_000,
    "CLOCK_SKEW_MS": 5_000,
    "RESERVED_ACCOUNTS": {"treasury", "house"},
}


def test_the_limits_are_those_of_the_semantics() -> None:
    """A limit changed by one makes two readers of one log disagree."""
    actual = {name: getattr(walras_schemas, name) for name in LIMITS}
    assert LIMITS == actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a1", (True, True)),
        ("house", (True, False)),
        ("treasury", (True, False)),
        ("house1", (True, True)),
        ("a\n", (False, False)),
        ("", (False, False)),
    ],
)
def test_an_agent_is_a_name_but_no_account_of_the_market(
    text: str, expected: tuple[bool, bool]
) -> None:
    """An agent called treasury could spend what nobody has granted."""
    assert expected == (names.is_name(text), names.is_agent_name(text))


@pytest.mark.parametrize("pattern", [NAME_PATTERN, EVENT_ID_PATTERN, TIMESTAMP_PATTERN])
def test_a_pattern_needs_no_more_than_every_engine_has(pattern: str) -> None:
    """Other languages use these patterns too: no look-around, no class that may mean Unicode."""
    assert pattern.startswith("^")
    assert pattern.endswith("$")
    assert not re.findall(r"\(\?|\\[^.]", pattern)


def test_every_public_name_is_there() -> None:
    """A name listed but missing breaks the first agent that imports it."""
    assert not [name for name in walras_schemas.__all__ if not hasattr(walras_schemas, name)]
