"""Of several reasons to refuse a command, the first of the specification is the one that is given.

Each reason is a violation that a command can have alone; every possible pair is tried together.
Code order, the specification's order (the table below) and checking order must agree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import pytest

from flows.testing import LogRecord, LogWriter
from tests.support.flow import run_flow
from tests.twin.rows import Row, Rows
from walras_schemas import METER_PRECEDENCE, RejectionReason, Rule

R = RejectionReason

# SEMANTICS §4, rule by rule, for each kind of command.
OF_IDS: Final = [R.STALE_EVENT_ID, R.FUTURE_EVENT_ID, R.DUPLICATE]
OF_MARKETS: Final = [R.MALFORMED, R.UNKNOWN_MARKET, R.MARKET_CLOSED]
FIRST_RULES: Final = [*OF_MARKETS, R.OVER_QUOTA, *OF_IDS]
OPERATORS: Final = [*OF_MARKETS, *OF_IDS]
PRECEDENCE: Final = {
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
    "grant": OPERATORS,
    "closing": OPERATORS,
    "supply": [*OPERATORS, R.UNKNOWN_RESOURCE],
    "price": [*OPERATORS, R.UNKNOWN_RESOURCE],
    "opening": [R.MALFORMED, *OF_IDS],
}

# No command can be both: an id is early or late; and a market that is not open, or an id that is
# early, never came to remember a use of the id. What was never opened is not closed, and counts no
# command; nor does what is closed.
IMPOSSIBLE: Final = [
    {R.STALE_EVENT_ID, R.FUTURE_EVENT_ID},
    {R.FUTURE_EVENT_ID, R.DUPLICATE},
    {R.UNKNOWN_MARKET, R.DUPLICATE},
    {R.UNKNOWN_MARKET, R.MARKET_CLOSED},
    {R.UNKNOWN_MARKET, R.OVER_QUOTA},
    {R.MARKET_CLOSED, R.OVER_QUOTA},
]
PAIRS: Final = [
    pytest.param(kind, [first, second], id=f"{kind}-{first}-{second}")
    for kind, reasons in PRECEDENCE.items()
    for first, second in combinations(reasons, 2)
    if {first, second} not in IMPOSSIBLE
]
ALONE: Final = [
    pytest.param(kind, reason, id=f"{kind}-{reason}")
    for kind, reasons in PRECEDENCE.items()
    for reason in reasons
]

WINDOW_MS: Final = 1000
SUPPLY: Final = 10**10
RESERVE: Final = 10**9
RICH: Final = 10**15


@dataclass(slots=True)
class ViolatingLog:
    """Writes a log that ends in one command, which has all the given violations."""

    kind: str
    violations: set[R]
    log: LogWriter = field(default_factory=LogWriter)

    def records(self) -> list[LogRecord]:
        self._set_up()
        if R.FUTURE_EVENT_ID in self.violations:
            own_id = self.log.fresh_id(age_ms=-5_001)
        else:
            own_id = self.log.fresh_id()
        if R.DUPLICATE in self.violations:
            self._use(own_id)
        if R.MARKET_CLOSED in self.violations:
            self.log.close()
            self.log.wait(WINDOW_MS)
        if R.STALE_EVENT_ID in self.violations:
            self.log.wait(60_001)
        if R.OVER_QUOTA in self.violations:
            self._use(self.log.fresh_id())
        command = {**self._command(), "event_id": own_id}
        if R.MALFORMED in self.violations:
            command["surprise"] = 1
        self.log.append(self._subject(), command)
        return self.log.records

    def _set_up(self) -> None:
        rule: Rule = "vickrey" if R.UNSUPPORTED_BY_RULE in self.violations else "uniform"
        self.log.max_commands = 1 if R.OVER_QUOTA in self.violations else None
        listed = {"supply": SUPPLY, "reserve_micros": RESERVE}
        self.log.open(market="m1", rule=rule, gpu=listed)
        balance = 1 if R.INSUFFICIENT_BALANCE in self.violations else RICH
        for agent in ("a1", "a2"):
            self.log.grant(agent, balance)

    def _use(self, own_id: str) -> None:
        """Use the id before, by the same sender, in a command that does nothing."""
        if self.kind in ("bid", "withdrawal", "transfer"):
            spent = self.log.command("bid_withdrawn", bid_event_id=own_id, event_id=own_id)
            self.log.append(f"market.m1.bid.{self._agent()}", spent)
        else:
            spent = self.log.command("supply_changed", resource="none", supply=1, event_id=own_id)
            self.log.append("market.m1.market", spent)

    def _agent(self) -> str:
        return "unknown" if R.UNKNOWN_AGENT in self.violations else "a1"

    def _subject(self) -> str:
        market = "m2" if R.UNKNOWN_MARKET in self.violations else "m1"
        resource = "none" if R.UNKNOWN_RESOURCE in self.violations else "gpu"
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
            if R.NOT_OPEN not in self.violations:
                asked: dict[str, Any] = {"resource": "gpu", "quantity": 1}
                self.log.bid("a1", event_id=named, unit_price_micros=RESERVE, **asked)
            return {"type": "bid_withdrawn", "bid_event_id": named}
        if self.kind == "transfer":
            to = self._agent() if R.SELF_TRANSFER in self.violations else "a2"
            return {"type": "credits_transferred", "to_agent_id": to, "amount_micros": 2}
        return self._operators()

    def _operators(self) -> dict[str, Any]:
        resource = "none" if R.UNKNOWN_RESOURCE in self.violations else "gpu"
        listing = {"gpu": {"supply": 1, "initial_price_micros": 1}}
        commands: dict[str, dict[str, Any]] = {
            "grant": {"type": "credits_granted", "agent_id": "a1", "amount_micros": 1},
            "supply": {"type": "supply_changed", "resource": resource, "supply": 1},
            "price": {"type": "price_quoted", "price_micros": 1},
            "closing": {"type": "market_closed"},
            "opening": {"type": "market_opened", "resources": listing},
        }
        return commands[self.kind]

    def _bid(self) -> dict[str, Any]:
        bid = {
            "type": "bid_placed",
            "resource": "none" if R.UNKNOWN_RESOURCE in self.violations else "gpu",
            "quantity": 2,
            "unit_price_micros": RESERVE - 1 if R.BELOW_RESERVE in self.violations else RESERVE,
        }
        if R.AMOUNT_OVERFLOW in self.violations:
            bid["quantity"] = SUPPLY
        if R.EXCEEDS_SUPPLY in self.violations:
            bid["quantity"] = SUPPLY + 1
        if R.UNSUPPORTED_BY_RULE in self.violations:
            bid["min_quantity"] = 2
        return bid


def outcome(rows: Rows, record: LogRecord) -> str | None:
    """The reason that the rows give for a message of one event; None when it was applied."""
    if any(row["seq"] == record.seq for row in rows.dead_letters):
        return R.MALFORMED
    found: list[Row] = [row for row in rows.bids + rows.commands if row["seq"] == record.seq]
    [row] = found
    return None if row["reason"] is None else str(row["reason"])


def reason_for(kind: str, violations: Iterable[R]) -> str | None:
    """Why the real flow rejects a command with these violations; None when it is applied."""
    records = ViolatingLog(kind, set(violations)).records()
    return outcome(run_flow(records, WINDOW_MS), records[-1])


@pytest.mark.parametrize("kind", PRECEDENCE)
def test_the_code_knows_the_order_of_the_specification(kind: str) -> None:
    """An enumeration in another order would be documentation that lies."""
    assert PRECEDENCE[kind] == [reason for reason in R if reason in PRECEDENCE[kind]]


def test_every_reason_is_in_some_order() -> None:
    """A reason that is in no table is a rule that nobody tests."""
    of_commands = {reason for reasons in PRECEDENCE.values() for reason in reasons}
    assert set(R) == of_commands | set(METER_PRECEDENCE)


@pytest.mark.parametrize("kind", PRECEDENCE)
def test_a_command_without_a_violation_is_applied(kind: str) -> None:
    """If the plain command were refused, each refusal below could have that cause."""
    assert reason_for(kind, []) is None


@pytest.mark.parametrize(("kind", "reason"), ALONE)
def test_each_reason_is_given_through_the_flow(kind: str, reason: R) -> None:
    """A rule that is never checked lets its violation through."""
    assert reason == reason_for(kind, [reason])


@pytest.mark.parametrize(("kind", "violations"), PAIRS)
def test_of_two_reasons_the_first_is_given(kind: str, violations: list[R]) -> None:
    """Two readers of one log must give the same reason when several hold."""
    assert violations[0] == reason_for(kind, violations)


@pytest.mark.parametrize(
    ("violations", "fields"),
    [
        ({R.UNKNOWN_RESOURCE}, {"units": {"gpu": SUPPLY + 1, "none": 1}, "limit_micros": 1}),
        ({R.UNKNOWN_RESOURCE}, {"units": {"gpu": 1, "none": 1}, "limit_micros": RESERVE - 1}),
        (
            {R.UNSUPPORTED_BY_RULE},
            {"units": {"gpu": SUPPLY + 1}, "limit_micros": 1},
        ),
        ({R.EXCEEDS_SUPPLY}, {"units": {"gpu": SUPPLY + 1}, "limit_micros": 1}),
        ({R.BELOW_RESERVE}, {"units": {"gpu": 2}, "limit_micros": 2 * RESERVE - 1}),
        ({R.INSUFFICIENT_BALANCE}, {"units": {"gpu": 1}, "limit_micros": RICH}),
    ],
)
def test_bundles_are_checked_in_the_same_order(violations: set[R], fields: dict[str, Any]) -> None:
    """A bundle has many resources: each rule must look at all before the next rule is asked."""
    violating = ViolatingLog("withdrawal", violations)
    violating.records()
    violating.log.bundle("a1", **fields)
    [reason] = violations
    assert reason == outcome(run_flow(violating.log.records, 1000), violating.log.records[-1])
