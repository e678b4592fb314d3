"""Amounts as people type and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.cli.amounts import credits_text, micros_of
from state.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1", 1_000_000),
        ("0.000001", 1),
        ("12.5", 12_500_000),
        ("0.1", 100_000),
        ("999999999.999999", 999_999_999_999_999),
    ],
)
def test_credits_are_read_exactly(text: str, micros: int) -> None:
    """A price that went through a float is a micro-credit off, and loses the auction."""
    assert micros == micros_of(text, name="price", in_micros=False)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.", ".5", "1e3", "nan", "inf", "1_000", "0.0000001", " 1", "٣", "1\n"],
)
def test_an_inexact_amount_is_refused(text: str) -> None:
    """An amount that is rounded or guessed is another one than was meant."""
    with pytest.raises(SettingsError, match="the price is not a valid amount"):
        micros_of(text, name="price", in_micros=False)


def test_micros_are_whole() -> None:
    """With --micros a point is a misunderstanding, not a fraction."""
    assert 1500 == micros_of("1500", name="price", in_micros=True)
    with pytest.raises(SettingsError, match="whole micro-credits"):
        micros_of("1.5", name="price", in_micros=True)


@given(st.integers(min_value=0, max_value=10**15))
def test_what_is_shown_can_be_typed(micros: int) -> None:
    """An amount copied from a table must mean what it meant there."""
    assert micros == micros_of(credits_text(micros), name="price", in_micros=False)


def test_debts_keep_their_sign() -> None:
    """Half a credit of debt must not be shown as one and a half."""
    assert ["-1.5", "-0.000001", "0"] == [credits_text(micros) for micros in (-1_500_000, -1, 0)]
