"""The reasons of a refusal stand in the order in which they take precedence."""

from typing import Final

import pytest

from walras_schemas import METER_PRECEDENCE, BidStatus, CommandStatus, RejectionReason

# The table of admission, rule by rule, as the semantics number it.
ADMISSION: Final = [
    ["malformed"],
    ["unknown_market"],
    ["market_closed"],
    ["over_quota"],
    ["stale_event_id", "future_event_id"],
    ["duplicate"],
    ["unknown_agent"],
    ["unknown_resource"],
    ["unsupported_by_rule"],
    ["exceeds_supply"],
    ["below_reserve"],
    ["amount_overflow"],
    ["insufficient_balance"],
]
FIRST_SIX: Final = [reason for rule in ADMISSION[:6] for reason in rule]
FIRST_OF_OPERATORS: Final = [reason for reason in FIRST_SIX if reason != "over_quota"]
CHECKED: Final = {
    "bid": [reason for rule in ADMISSION for reason in rule],
    "withdrawal": [*FIRST_SIX, "not_open"],
    "transfer": [*FIRST_SIX, "unknown_agent", "self_transfer", "insufficient_balance"],
    "supply and price": [*FIRST_OF_OPERATORS, "unknown_resource"],
}
# The table of meters, rule by rule.
METERS: Final = [
    *("malformed", "unknown_market", "unknown_meter", "stale_epoch", "out_of_order"),
    *("future_window", "stale_window", "unknown_agent", "unknown_resource"),
    *("insufficient_allowance", "not_held"),
]


@pytest.mark.parametrize("command", CHECKED)
def test_the_order_of_the_reasons_is_their_precedence(command: str) -> None:
    """Two readers of one log must give the same reason when several hold."""
    order = [reason.value for reason in RejectionReason if reason in CHECKED[command]]
    assert CHECKED[command] == order


def test_the_order_of_the_reasons_of_meters_is_their_precedence() -> None:
    """A proxy that finds another reason than the ledger acts on the wrong one."""
    assert list(METER_PRECEDENCE) == METERS


def test_every_reason_is_checked_by_some_command() -> None:
    """A reason nobody can get is a promise that no market keeps."""
    assert set(METERS).union(*CHECKED.values()) == set(RejectionReason)


def test_the_statuses_are_those_of_the_ledger() -> None:
    """The ledger's views are a public contract: a renamed status breaks every query on them."""
    bids, commands = list(BidStatus), list(CommandStatus)
    assert ["rejected", "withdrawn", "lost", "partially_won", "won"] == bids
    assert ["applied", "rejected"] == commands
