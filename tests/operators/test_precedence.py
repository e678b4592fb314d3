"""Of several reasons to refuse a command, the first of the specification is the one that is given.

Each reason is a sin that a command can commit alone; every pair that can be committed together is.
Code order, the specification's order (the table below) and checking order must agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest

from tests.support.flow import run_flow
from tests.support.log_writer import LogWriter
from tests.twin.rows import LogRecord, Row, Rows
from walras_schemas import RejectionReason

R = RejectionReason

# SEMANTICS §4, rule by rule, for each kind of command.
FIRST_RULES = [R.MALFORMED, R.UNKNOWN_MARKET, R.STALE_EVENT_ID, R.FUTURE_EVENT_ID, R.DUPLICATE]
PRECEDENCE = {
    "bid": [
        *FIRST_RULES,
        R.UNKNOWN_AGENT,
        R.UNKNOWN_RESOURCE,
        R.UNSUPPORTED_BY_RULE,
        R.EXCEEDS_SUPPLY,
        R.BELOW_RESERVE,
        R.AMOUNT_OVERFLOW,
        R.INSUFFICIENT_BALANCE,
    ],
    "withdrawal": [*FIRST_RULES, R.NOT_OPEN],
    "transfer": [*FIRST_RULES, R.UNKNOWN_AGENT, R.SELF_TRANSFER, R.INSUFFICIENT_BALANCE],
    "grant": FIRST_RULES,
    "supply": [*FIRST_RULES, R.UNKNOWN_RESOURCE],
    "price": [*FIRST_RULES, R.UNKNOWN_RESOURCE],
    "opening": [R.MALFORMED, *FIRST_RULES[2:]],
}

# No command can be both: an id is early or late; and a market that is not open, or an id that is
# early, never came to remember a use of the id.
IMPOSSIBLE = [
    {R.STALE_EVENT_ID, R.FUTURE_EVENT_ID},
    {R.FUTURE_EVENT_ID, R.DUPLICATE},
    {R.UNKNOWN_MARKET, R.DUPLICATE},
]
PAIRS = [
    pytest.param(kind, [first, second], id=f"{kind}-{first}-{second}")
    for kind, reasons in PRECEDENCE.items()
    for first, second in combinations(reasons, 2)
    if {first, second} not in IMPOSSIBLE
]
ALONE = [
    pytest.param(kind, reason, id=f"{kind}-{reason}")
    for kind, reasons in PRECEDENCE.items()
    for reason in reasons
]

SUPPLY, RESERVE, RICH = 10**10, 10**9, 10**15


@dataclass(slots=True)
class Sinner:
    """Writes a log that ends in one command, which commits all the given sins."""

    kind: str
    sins: set[R]
    log: LogWriter = field(default_factory=LogWriter)

    def records(self) -> list[LogRecord]:
        self._set_up()
        if R.FUTURE_EVENT_ID in self.sins:
            own_id = self.log.fresh_id(age_ms=-5_001)
        else:
            own_id = self.log.fresh_id()
        if R.DUPLICATE in self.sins:
            self._use(own_id)
        if R.STALE_EVENT_ID in self.sins:
            self.log.wait(60_001)
        command = {**self._command(), "event_id": own_id}
        if R.MALFORMED in self.sins:
            command["surprise"] = 1
        self.log.say(self._subject(), command)
        return self.log.records

    def _set_up(self) -> None:
        rule = "vickrey" if R.UNSUPPORTED_BY_RULE in self.sins else "uniform"
        self.log.open("m1", rule, gpu={"supply": SUPPLY, "reserve_micros": RESERVE})
        balance = 1 if R.INSUFFICIENT_BALANCE in self.sins else RICH
        for agent in ("a1", "a2"):
            self.log.grant(agent, balance)

    def _use(self, own_id: str) -> None:
        """Use the id before, by the same sender, in a command that does nothing."""
        if self.kind in ("bid", "withdrawal", "transfer"):
            spent = self.log.command("bid_withdrawn", bid_event_id=own_id, event_id=own_id)
            self.log.say(f"market.m1.bid.{self._agent()}", spent)
        else:
            spent = self.log.command("supply_changed", resource="none", supply=1, event_id=own_id)
            self.log.say("market.m1.market", spent)

    def _agent(self) -> str:
        return "stranger" if R.UNKNOWN_AGENT in self.sins else "a1"

    def _subject(self) -> str:
        market = "m2" if R.UNKNOWN_MARKET in self.sins else "m1"
        resource = "none" if R.UNKNOWN_RESOURCE in self.sins else "gpu"
        channel = {
            "bid": f"bid.{self._agent()}",
            "withdrawal": f"bid.{self._agent()}",
            "transfer": f"transfer.{self._agent()}",
            "grant": "grant",
            "price": f"price.{resource}",
        }.get(self.kind, "market")
        return f"market.{market}.{channel}"

    def _command(self) -> dict[str, Any]:
        if self.kind == "bid":
            return self._bid()
        if self.kind == "withdrawal":
            named = self.log.fresh_id()
            if R.NOT_OPEN not in self.sins:
                asked: dict[str, Any] = {"resource": "gpu", "quantity": 1}
                self.log.bid("a1", event_id=named, unit_price_micros=RESERVE, **asked)
            return {"type": "bid_withdrawn", "bid_event_id": named}
        if self.kind == "transfer":
            to = self._agent() if R.SELF_TRANSFER in self.sins else "a2"
            return {"type": "credits_transferred", "to_agent_id": to, "amount_micros": 2}
        return self._operators()

    def _operators(self) -> dict[str, Any]:
        resource = "none" if R.UNKNOWN_RESOURCE in self.sins else "gpu"
        listing = {"gpu": {"supply": 1, "initial_price_micros": 1}}
        commands: dict[str, dict[str, Any]] = {
            "grant": {"type": "credits_granted", "agent_id": "a1", "amount_micros": 1},
            "supply": {"type": "supply_changed", "resource": resource, "supply": 1},
            "price": {"type": "price_quoted", "price_micros": 1},
            "opening": {"type": "market_opened", "resources": listing},
        }
        return commands[self.kind]

    def _bid(self) -> dict[str, Any]:
        bid = {
            "type": "bid_placed",
            "resource": "none" if R.UNKNOWN_RESOURCE in self.sins else "gpu",
            "quantity": 2,
            "unit_price_micros": RESERVE - 1 if R.BELOW_RESERVE in self.sins else RESERVE,
        }
        if R.AMOUNT_OVERFLOW in self.sins:
            bid["quantity"] = SUPPLY
        if R.EXCEEDS_SUPPLY in self.sins:
            bid["quantity"] = SUPPLY + 1
        if R.UNSUPPORTED_BY_RULE in self.sins:
            bid["min_quantity"] = 2
        return bid


def outcome(rows: Rows, record: LogRecord) -> str | None:
    """The reason that the rows give for a message of one event; None when it was applied."""
    if any(row["seq"] == record.seq for row in rows.dead_letters):
        return R.MALFORMED
    found: list[Row] = [row for row in rows.bids + rows.commands if row["seq"] == record.seq]
    [row] = found
    return None if row["reason"] is None else str(row["reason"])


def reason_for(kind: str, sins: Iterable[R]) -> str | None:
    """What the real flow says of a command that commits these sins."""
    records = Sinner(kind, set(sins)).records()
    return outcome(run_flow(records, 1000), records[-1])


@pytest.mark.parametrize("kind", PRECEDENCE)
def test_the_code_knows_the_order_of_the_specification(kind: str) -> None:
    """An enumeration in another order would be documentation that lies."""
    assert PRECEDENCE[kind] == [reason for reason in R if reason in PRECEDENCE[kind]]


def test_every_reason_is_in_some_order() -> None:
    """A reason that is in no table is a rule that nobody tests."""
    assert set(R) == {reason for reasons in PRECEDENCE.values() for reason in reasons}


@pytest.mark.parametrize("kind", PRECEDENCE)
def test_a_command_without_sin_is_applied(kind: str) -> None:
    """If the plain command were refused, each refusal below could have that cause."""
    assert reason_for(kind, []) is None


@pytest.mark.parametrize(("kind", "reason"), ALONE)
def test_each_reason_is_given_through_the_flow(kind: str, reason: R) -> None:
    """A rule that is never checked lets its sin through."""
    assert reason == reason_for(kind, [reason])


@pytest.mark.parametrize(("kind", "sins"), PAIRS)
def test_of_two_reasons_the_first_is_given(kind: str, sins: list[R]) -> None:
    """Two readers of one log must give the same reason when several hold."""
    assert sins[0] == reason_for(kind, sins)


@pytest.mark.parametrize(
    ("sins", "fields"),
    [
        ({R.UNKNOWN_RESOURCE}, {"bundle": {"gpu": SUPPLY + 1, "none": 1}, "limit_micros": 1}),
        ({R.UNKNOWN_RESOURCE}, {"bundle": {"gpu": 1, "none": 1}, "limit_micros": RESERVE - 1}),
        (
            {R.UNSUPPORTED_BY_RULE},
            {"bundle": {"gpu": SUPPLY + 1}, "limit_micros": 1},
        ),
        ({R.EXCEEDS_SUPPLY}, {"bundle": {"gpu": SUPPLY + 1}, "limit_micros": 1}),
        ({R.BELOW_RESERVE}, {"bundle": {"gpu": 2}, "limit_micros": 2 * RESERVE - 1}),
        ({R.INSUFFICIENT_BALANCE}, {"bundle": {"gpu": 1}, "limit_micros": RICH}),
    ],
)
def test_bundles_are_judged_in_the_same_order(sins: set[R], fields: dict[str, Any]) -> None:
    """A bundle has many resources: each rule must look at all before the next rule is asked."""
    sinner = Sinner("withdrawal", sins)
    sinner.records()
    sinner.log.bid("a1", **fields)
    [reason] = sins
    assert reason == outcome(run_flow(sinner.log.records, 1000), sinner.log.records[-1])
