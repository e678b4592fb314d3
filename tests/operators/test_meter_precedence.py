"""Of several reasons to refuse an event of a meter, the first of the specification is given.

Each reason is a violation that an event can have alone; every possible pair is tried together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import pytest

from flows.testing import LogRecord, LogWriter
from tests.support.flow import run_flow, run_twin
from tests.twin.rows import Rows
from walras_schemas import METER_PRECEDENCE, RejectionReason, subjects

R = RejectionReason

# SEMANTICS §12, rule by rule, for each kind of event.
FIRST: Final = [R.MALFORMED, R.UNKNOWN_MARKET, R.UNKNOWN_METER, R.STALE_EPOCH]
PRECEDENCE: Final = {
    "opening": FIRST,
    "hold": [
        *FIRST,
        R.OUT_OF_ORDER,
        R.FUTURE_WINDOW,
        R.STALE_WINDOW,
        R.UNKNOWN_AGENT,
        R.UNKNOWN_RESOURCE,
        R.INSUFFICIENT_ALLOWANCE,
    ],
    "settlement": [*FIRST, R.NOT_HELD],
}
# A window is too early or too late.
IMPOSSIBLE: Final = {R.FUTURE_WINDOW, R.STALE_WINDOW}
PAIRS: Final = [
    pytest.param(kind, [first, second], id=f"{kind}-{first}-{second}")
    for kind, reasons in PRECEDENCE.items()
    for first, second in combinations(reasons, 2)
    if {first, second} != IMPOSSIBLE
]
ALONE: Final = [
    pytest.param(kind, reason, id=f"{kind}-{reason}")
    for kind, reasons in PRECEDENCE.items()
    for reason in reasons
]
LAG: Final = 10
WINDOW_MS: Final = 1000


@dataclass(slots=True)
class ViolatingLog:
    """Writes a log that ends in one event of a meter, which has all the given violations."""

    kind: str
    violations: set[R]
    log: LogWriter = field(default_factory=LogWriter)

    def records(self) -> list[LogRecord]:
        listed = {"gpu": {"supply": 9, "initial_price_micros": 1, "allowance_windows": 99}}
        opened = self.log.command("market_opened", lag_windows=LAG, resources=listed)
        self.log.append(subjects.market("m1"), opened)
        self.log.grant("a1", 9)
        self.log.open_meter()
        self.log.bid("a1", resource="gpu", quantity=9, unit_price_micros=1)
        self.log.wait(WINDOW_MS)
        self.log.hold(1, "a1", 1, resource="gpu")
        self.log.wait((LAG + 1) * WINDOW_MS)
        event = self._event() | ({"surprise": 1} if R.MALFORMED in self.violations else {})
        market = "m2" if R.UNKNOWN_MARKET in self.violations else "m1"
        number = 1 if R.UNKNOWN_METER in self.violations else 0
        self.log.append(subjects.meter(market, number), event)
        return self.log.records

    def _event(self) -> dict[str, Any]:
        epoch = 3 if R.STALE_EPOCH in self.violations else 1
        if self.kind == "opening":
            return {"type": "meter_opened", "epoch": epoch if epoch > 1 else 2}
        if self.kind == "settlement":
            n = 2 if R.NOT_HELD in self.violations else 1
            return {
                "type": "units_settled",
                "epoch": epoch,
                "n": n,
                "used": 1,
                "outcome": "completed",
            }
        return {
            "type": "units_held",
            "epoch": epoch,
            "n": 3 if R.OUT_OF_ORDER in self.violations else 2,
            "agent_id": "a2" if R.UNKNOWN_AGENT in self.violations else "a1",
            "resource": "cpu" if R.UNKNOWN_RESOURCE in self.violations else "gpu",
            "quantity": 9 if R.INSUFFICIENT_ALLOWANCE in self.violations else 1,
            "window_id": self._window(),
        }

    def _window(self) -> int:
        now = self.log.now_ms // WINDOW_MS
        if R.FUTURE_WINDOW in self.violations:
            return now + 1
        return now - LAG - (R.STALE_WINDOW in self.violations)


def outcome(rows: Rows, record: LogRecord) -> str | None:
    """The reason that the rows give for a message of one event; None when it was applied."""
    if any(row["seq"] == record.seq for row in rows.dead_letters):
        return R.MALFORMED
    found = [row["reason"] for row in rows.commands if row["seq"] == record.seq]
    return found[0] if found else None


def reasons_for(kind: str, violations: Iterable[R]) -> list[str | None]:
    """Why the flow and the twin refuse an event with these violations."""
    records = ViolatingLog(kind, set(violations)).records()
    return [outcome(run(records, WINDOW_MS), records[-1]) for run in (run_flow, run_twin)]


@pytest.mark.parametrize("kind", PRECEDENCE)
def test_the_code_knows_the_order_of_the_specification(kind: str) -> None:
    """An order in another order would be documentation that lies."""
    assert PRECEDENCE[kind] == [it for it in METER_PRECEDENCE if it in PRECEDENCE[kind]]


@pytest.mark.parametrize("kind", PRECEDENCE)
def test_an_event_without_a_violation_is_applied(kind: str) -> None:
    """If the plain event were refused, each refusal below could have that cause."""
    assert reasons_for(kind, []) == [None, None]


@pytest.mark.parametrize(("kind", "reason"), ALONE)
def test_each_reason_is_given(kind: str, reason: R) -> None:
    """A rule that is never checked lets its violation through."""
    assert reasons_for(kind, [reason]) == [reason, reason]


@pytest.mark.parametrize(("kind", "violations"), PAIRS)
def test_of_two_reasons_the_first_is_given(kind: str, violations: list[R]) -> None:
    """A proxy and the ledger must give the same reason when several hold."""
    assert reasons_for(kind, violations) == violations[:1] * 2
