"""Meters by themselves: the function against the twin's, and a proxy that knows only a prefix.

The stories and random logs go through the whole flow; here thousands of holds are judged a second.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import pytest

from operators.meter import Place, Verdict, judge, lapse
from state.lots import Lot, MarketMeters
from tests.twin import meters as naive
from walras_schemas import METER_EVENTS, MeterEvent

AGENTS: Final = ("a1", "a2", "a4", "bob")
RESOURCES: Final = ("gpu", "cpu")
LAG: Final = 10
COUNT: Final = 2
FIRST_WINDOW: Final = 1000


def event_of(fields: dict[str, Any]) -> MeterEvent:
    return METER_EVENTS[fields["type"]].model_validate(fields)


def is_known(agent: str) -> bool:
    return agent in AGENTS


@dataclass(slots=True)
class Both:
    """One market's meters, as the product keeps them and as the twin does."""

    market: MarketMeters = field(
        default_factory=lambda: MarketMeters(LAG, COUNT, metered=set(RESOURCES))
    )
    twin: naive.Meters = field(default_factory=lambda: naive.Meters(metered=set(RESOURCES)))
    window: int = FIRST_WINDOW
    seq: int = 0
    lots: list[Lot] = field(default_factory=list)

    def judge(self, number: int, fields: dict[str, Any]) -> Verdict:
        """Both judge an event, and give the same reason."""
        self.seq += 1
        place = Place(self.seq, self.seq * 1000, self.window)
        verdict = judge(self.market, number, event_of(fields), place, is_known=is_known)
        case = naive.MeterCase(
            fields,
            number,
            is_open=True,
            count=COUNT,
            lag_windows=LAG,
            known=set(AGENTS),
            window_id=self.window,
            place={"market": "m1", "seq": self.seq, "timestamp_us": self.seq},
        )
        assert naive.judge(self.twin, case) == verdict.reason
        return verdict

    def close(self, won: dict[tuple[str, str], tuple[int, int]]) -> None:
        """The window closes with an event in it: owner to the units won and their allowance."""
        for (agent, resource), (units, allowance) in won.items():
            last, number = self.window + allowance, self.market.number_of(agent)
            self.twin.win(agent, resource, units, k=self.window, last=last, meters=COUNT)
            if number in self.market.opened:
                lot = Lot(agent, resource, self.window, last, units, free=units)
                self.market.opened[number].add(lot)
                self.lots.append(lot)
        self.twin.last_heard = self.window
        lapse(self.market, before=self.window - LAG)
        self.window += 1

    def is_past(self, lot: Lot) -> bool:
        meter = self.market.opened[self.market.number_of(lot.agent)]
        return lot.lapsed or lot.last_window < meter.window_id

    def assert_alike(self) -> None:
        """The lots, open holds and meters of both are the same."""
        views = naive.views(self.twin, "m1", count=COUNT, lag_windows=LAG)
        lots = sorted(
            (lot.agent, lot.resource, lot.window_id, lot.free)
            for lot in self.lots
            if not self.is_past(lot)
        )
        names = ("agent_id", "resource", "window_id", "remaining")
        assert sorted(tuple(row[name] for name in names) for row in views["lots"]) == lots
        for row in views["allowances"]:
            own = [
                lot
                for lot in self.lots
                if (lot.agent, lot.resource) == (row["agent_id"], row["resource"])
            ]
            assert all(min(lot.free, lot.held, lot.used, lot.overdrawn) >= 0 for lot in own)
            assert all(lot.units == lot.free + lot.held + lot.used for lot in own)
            expected = {
                "won": sum(lot.units for lot in own),
                "free": sum(lot.free for lot in own if not self.is_past(lot)),
                "held": sum(lot.held for lot in own),
                "used": sum(lot.used + lot.overdrawn for lot in own),
                "overdrawn": sum(lot.overdrawn for lot in own),
                "expired": sum(lot.free for lot in own if self.is_past(lot)),
            }
            assert expected.items() <= row.items()
        assert [
            (row["epoch"], row["next_n"], row["window_id"])
            for row in sorted(views["meters"], key=lambda row: int(row["meter"]))
        ] == [
            (meter.epoch, meter.next_n, meter.window_id)
            for _, meter in sorted(self.market.opened.items())
        ]


def random_win(rng: Random) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (agent, resource): (rng.randrange(1, 7), rng.choice([1, 2, 3, 20]))
        for agent in AGENTS
        for resource in RESOURCES
        if rng.random() < 0.5
    }


def random_event(rng: Random, both: Both, number: int) -> dict[str, Any]:
    """An event that mostly follows the chain, and misses one rule by one sometimes."""
    meter = both.market.opened.get(number)
    epoch, dice = meter.epoch if meter else 0, rng.random()
    if meter is None or dice < 0.04:
        return {"type": "meter_opened", "epoch": max(1, epoch + rng.choice([1, 1, 1, 0, 2]))}
    near = rng.choice([0] * 25 + [-1, 1])
    if meter.holds and dice < 0.5:
        n = rng.choice([*meter.holds])
        used = rng.choice([0, 1, 2, meter.holds[n].quantity, meter.holds[n].quantity + 3])
        fields = {"type": "units_settled", "used": used, "outcome": "partial"}
        return fields | {"epoch": max(1, epoch + near), "n": max(1, n + rng.choice([0] * 9 + [1]))}
    window = rng.choice([meter.window_id, both.window, both.window, both.window - 1])
    window = rng.choice([max(window, meter.window_id)] * 15 + [both.window + 1, window - LAG])
    return {
        "type": "units_held",
        "epoch": epoch,
        "n": max(1, meter.next_n + near),
        "agent_id": rng.choice([*AGENTS, *AGENTS, "who"]),
        "resource": rng.choice([*RESOURCES] * 8 + ["mem"]),
        "quantity": rng.randrange(1, 7),
        "window_id": max(0, window),
    }


@pytest.mark.parametrize("seed", range(60))
def test_the_twin_judges_alike(seed: int) -> None:
    """Made fast, the function could come to mean something else: the twin forgets nothing."""
    rng, both, held = Random(seed), Both(), 0
    for _ in range(400):
        if rng.random() < 0.12:
            both.close(random_win(rng))
            both.window += rng.choice([0] * 12 + [3, LAG + 2])
            both.assert_alike()
        number = rng.choice([0, 1, 1, 2]) if rng.random() < 0.9 else 2
        held += both.judge(number, random_event(rng, both, number)).held is not None
    both.assert_alike()
    assert held > 20


@dataclass(slots=True)
class Proxy:
    """A meter's proxy: it hears of lots late, window by window, and judges before it publishes."""

    rng: Random
    publish: Callable[[dict[str, Any]], Verdict]
    number: int
    own: MarketMeters = field(
        default_factory=lambda: MarketMeters(LAG, COUNT, metered=set(RESOURCES))
    )
    heard: list[list[Lot]] = field(default_factory=list)
    """Windows' lots that it has not been told of yet."""
    seq: int = 0

    def say(self, window: int, **fields: Any) -> None:
        """Decide by the same function; what it grants, the ledger must grant."""
        self.seq += 1
        mine = judge(
            self.own,
            self.number,
            event_of(fields),
            Place(self.seq, 0, window),
            is_known=is_known,
        )
        if mine.reason is None:
            theirs = self.publish(fields)
            assert theirs.reason is None
            assert draws(theirs) == draws(mine)

    def hear(self) -> None:
        """Take in the lots of the next window, in the order of the windows."""
        if self.heard:
            for lot in self.heard.pop(0):
                self.own.opened[self.number].add(lot)


def draws(verdict: Verdict) -> object:
    holds = [verdict.held] if verdict.held else [usage.hold for usage in verdict.ended]
    return [[(lot.window_id, units) for lot, units in hold.draws] for hold in holds]


@pytest.mark.parametrize("seed", range(60))
def test_what_a_lagging_proxy_grants_is_granted_by_the_ledger(seed: int) -> None:
    """A call that was let through without units would be paid for by nobody."""
    rng, both = Random(seed), Both()
    number = rng.randrange(COUNT)
    proxy = Proxy(rng, lambda fields: both.judge(number, fields), number)
    proxy.say(both.window, type="meter_opened", epoch=1)
    granted = 0
    for _ in range(400):
        if rng.random() < 0.2:
            before = len(both.lots)
            both.close(random_win(rng))
            made = [lot for lot in both.lots[before:] if both.market.number_of(lot.agent) == number]
            proxy.heard.append(
                [
                    Lot(it.agent, it.resource, it.window_id, it.last_window, it.units, it.units)
                    for it in made
                ]
            )
        if rng.random() < 0.25:
            proxy.hear()
        meter = proxy.own.opened[number]
        if meter.holds and rng.random() < 0.45:
            n = rng.choice([*meter.holds])
            proxy.say(
                both.window,
                type="units_settled",
                epoch=meter.epoch,
                n=n,
                used=rng.randrange(meter.holds[n].quantity + 2),
                outcome="completed",
            )
        else:
            before_n = meter.next_n
            hold = honest_hold(rng, proxy, both.window)
            if hold is not None:
                proxy.say(both.window, **hold)
                granted += meter.next_n > before_n
        if rng.random() < 0.01:
            proxy.say(both.window, type="meter_opened", epoch=meter.epoch + 1)
    assert granted > 20


def honest_hold(rng: Random, proxy: Proxy, window: int) -> dict[str, Any] | None:
    """A hold of what the proxy knows to be there, in a window that it may name; or none."""
    meter = proxy.own.opened[proxy.number]
    named = max(meter.window_id, window - rng.randrange(LAG // 2))
    offers = [
        (owner, units)
        for owner, lots in sorted(meter.free.items())
        if (units := sum(lot.free for lot in lots if lot.last_window >= named))
    ]
    if not offers:
        return None
    (agent, resource), units = rng.choice(offers)
    return {
        "type": "units_held",
        "epoch": meter.epoch,
        "n": meter.next_n,
        "agent_id": agent,
        "resource": resource,
        "quantity": rng.randrange(1, units + 1),
        "window_id": named,
    }


def test_a_refused_hold_of_rules_1_to_7_leaves_no_trace() -> None:
    """A proxy that was fenced must not have moved anything by what it said."""
    both = Both()
    both.judge(0, {"type": "meter_opened", "epoch": 1})
    both.close({("bob", "gpu"): (5, 1)})
    hold = {"type": "units_held", "epoch": 2, "n": 1, "agent_id": "bob", "resource": "gpu"}
    both.window += 5
    assert both.judge(0, hold | {"quantity": 1, "window_id": both.window}).reason == "stale_epoch"
    meter = both.market.opened[0]
    assert (1, 1, 0) == (meter.epoch, meter.next_n, meter.window_id)
    assert [lot.free for lots in meter.free.values() for lot in lots] == [5]


def test_lots_whose_time_is_past_are_forgotten() -> None:
    """State that only grows ends a market that runs for years."""
    both = Both()
    both.judge(0, {"type": "meter_opened", "epoch": 1})
    for n in range(1, 200):
        both.close({("bob", "gpu"): (5, 2)})
        hold = {"type": "units_held", "epoch": 1, "n": n, "agent_id": "bob", "resource": "gpu"}
        both.judge(0, hold | {"quantity": 3, "window_id": both.window})
        settled = {"type": "units_settled", "epoch": 1, "n": n, "used": 2, "outcome": "partial"}
        both.judge(0, settled)
    meter = both.market.opened[0]
    assert sum(map(len, meter.by_last.values())) <= 3
    assert sum(map(len, meter.free.values())) <= 3
    assert not meter.holds
    assert len(meter.lasts) <= 3


def test_a_meter_that_says_nothing_forgets_after_the_lag() -> None:
    """A proxy that is gone must not keep the lots of its agents for ever."""
    both = Both()
    both.judge(0, {"type": "meter_opened", "epoch": 1})
    for _ in range(100):
        both.close({("bob", "gpu"): (5, 2)})
    meter = both.market.opened[0]
    assert sum(map(len, meter.by_last.values())) == LAG + 3
    assert sum(map(len, meter.free.values())) == LAG + 3
