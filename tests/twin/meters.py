"""Lots, holds and meters of one market, as SEMANTICS §11 and §12 say, sentence by sentence.

Promise: nothing is forgotten and nothing is sped up: every lot ever made is looked at for every
hold, and what has expired is asked anew each time.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.twin.rows import Row

Event = dict[str, Any]
Fault = tuple[str, bool]


@dataclass(slots=True)
class Lot:
    """Units won of a metered resource in window k."""

    agent: str
    resource: str
    k: int
    last: int
    units: int
    remaining: int


@dataclass(slots=True)
class Hold:
    """An open hold, and what it took from which lot."""

    row: Row  # of `open_holds`
    draws: list[tuple[Lot, int]]


@dataclass(slots=True)
class Meter:
    """One chain of messages."""

    epoch: int = 0
    n: int = 0  # of the last hold that used one up
    window: int = 0
    holds: dict[int, Hold] = field(default_factory=dict)


@dataclass(slots=True)
class Meters:
    """All meters of a market, all its lots, and what was ever used of them."""

    lots: list[Lot] = field(default_factory=list)
    by_number: dict[int, Meter] = field(default_factory=dict)
    metered: set[str] = field(default_factory=set)  # listed by any applied opening
    usage: list[Row] = field(default_factory=list)
    last_heard: int = -1  # the last closed window in which the market had an event

    def meter(self, number: int) -> Meter:
        return self.by_number.setdefault(number, Meter())

    def list_resources(self, event: Event) -> None:
        """An opening was applied."""
        for name, listed in event["resources"].items():
            if listed.get("allowance_windows", 0) >= 1:
                self.metered.add(name)

    def is_past(self, lot: Lot, *, meters: int, lag_windows: int) -> bool:
        """Whether a lot's time is over, by its meter's window or by the lag."""
        window = self.meter(meter_of(lot.agent, meters)).window
        return window > lot.last or lot.last < self.last_heard - lag_windows

    def win(  # noqa: PLR0913  # a lot is its fields
        self, agent: str, resource: str, units: int, *, k: int, last: int, meters: int
    ) -> None:
        """A window closes in which an agent won units of a metered resource."""
        if self.meter(meter_of(agent, meters)).epoch >= 1:
            self.lots.append(Lot(agent, resource, k, last, units, remaining=units))


def meter_of(agent: str, meters: int) -> int:
    return zlib.crc32(agent.encode("utf-8")) % meters


@dataclass(frozen=True, slots=True)
class MeterCase:
    """An event of a meter to be judged, and what its market says."""

    event: Event
    number: int
    is_open: bool  # whether the market was ever opened
    count: int  # of its meters
    lag_windows: int
    known: set[str]
    window_id: int
    place: Row  # market, and seq and timestamp of the message


def judge(meters: Meters, case: MeterCase) -> str | None:
    """The reason to refuse an event; None when it was applied, and the meter moved on."""
    reason = next((reason for reason, fails in _faults(meters, case) if fails), None)
    if reason is None:
        _apply(meters, case)
    return reason


def _faults(meters: Meters, case: MeterCase) -> Iterator[Fault]:
    event, kind = case.event, case.event["type"]
    yield "unknown_market", not case.is_open
    yield "unknown_meter", case.number >= case.count
    meter = meters.meter(case.number)
    expected = meter.epoch + 1 if kind == "meter_opened" else meter.epoch
    yield "stale_epoch", event["epoch"] != expected
    if kind == "units_settled":
        yield "not_held", event["n"] not in meter.holds
    if kind == "units_held":
        yield "out_of_order", event["n"] != meter.n + 1 or event["window_id"] < meter.window
        yield "future_window", event["window_id"] > case.window_id
        yield "stale_window", event["window_id"] < case.window_id - case.lag_windows
        # It got past rule 7: whatever comes, it uses up its n and moves the window.
        meter.n, meter.window = event["n"], event["window_id"]
        foreign = meter_of(event["agent_id"], case.count) != case.number
        yield "unknown_agent", event["agent_id"] not in case.known or foreign
        yield "unknown_resource", event["resource"] not in meters.metered
        there = sum(lot.remaining for lot in _drawable(meters, case))
        yield "insufficient_allowance", there < event["quantity"]


def _drawable(meters: Meters, case: MeterCase) -> list[Lot]:
    event = case.event
    own = [
        lot
        for lot in meters.lots
        if (lot.agent, lot.resource) == (event["agent_id"], event["resource"])
        and lot.last >= event["window_id"]
    ]
    return sorted(own, key=lambda lot: lot.k)


def _apply(meters: Meters, case: MeterCase) -> None:
    event, meter = case.event, meters.meter(case.number)
    match event["type"]:
        case "meter_opened":
            for n, hold in list(meter.holds.items()):
                _end(meters, meter, n, hold.row["held"], "lost", case)
            meter.epoch, meter.n = event["epoch"], 0
        case "units_held":
            draws, missing = [], event["quantity"]
            for lot in _drawable(meters, case):
                units = min(missing, lot.remaining)
                lot.remaining -= units
                missing -= units
                draws.append((lot, units))
            meter.holds[event["n"]] = Hold(_hold_row(case), draws)
        case "units_settled":
            _end(meters, meter, event["n"], event["used"], event["outcome"], case)


def _hold_row(case: MeterCase) -> Row:
    event = case.event
    return {
        "market": case.place["market"],
        "agent_id": event["agent_id"],
        "resource": event["resource"],
        "meter": case.number,
        "epoch": event["epoch"],
        "n": event["n"],
        "held_seq": case.place["seq"],
        "window_id": event["window_id"],
        "held": event["quantity"],
        "timestamp_us": case.place["timestamp_us"],
    }


def _end(  # noqa: PLR0913, PLR0917  # a hold, and how it ended
    meters: Meters, meter: Meter, n: int, used: int, outcome: str, case: MeterCase
) -> None:
    hold = meter.holds.pop(n)
    unused = max(hold.row["held"] - used, 0)
    for lot, units in reversed(hold.draws):  # what is left returns to the newest first
        back = min(unused, units)
        lot.remaining += back
        unused -= back
    ended = {"settled_seq": case.place["seq"], "used": used, "outcome": outcome}
    meters.usage.append(hold.row | ended | {"timestamp_us": case.place["timestamp_us"]})


# --- the views at the end of a log ----------------------------------------------------------------


def views(meters: Meters, market: str, *, count: int, lag_windows: int) -> dict[str, list[Row]]:
    """The rows of SEMANTICS §14 for one market."""
    past = [meters.is_past(lot, meters=count, lag_windows=lag_windows) for lot in meters.lots]
    holds = [hold.row for meter in meters.by_number.values() for hold in meter.holds.values()]
    return {
        "lots": [
            {
                "market": market,
                "agent_id": lot.agent,
                "resource": lot.resource,
                "window_id": lot.k,
                "last_window": lot.last,
                "units": lot.units,
                "remaining": lot.remaining,
            }
            for lot, is_past in zip(meters.lots, past, strict=True)
            if not is_past
        ],
        "allowances": [
            _allowance(meters, market, *owner, past=past, holds=holds)
            for owner in sorted({(lot.agent, lot.resource) for lot in meters.lots})
        ],
        "open_holds": holds,
        "usage": meters.usage,
        "meters": [
            {
                "market": market,
                "meter": number,
                "epoch": meter.epoch,
                "next_n": meter.n + 1,
                "window_id": meter.window,
            }
            for number, meter in meters.by_number.items()
            if meter.epoch >= 1
        ],
    }


def _allowance(  # noqa: PLR0913  # an owner, and where to look
    meters: Meters, market: str, agent: str, resource: str, *, past: list[bool], holds: list[Row]
) -> Row:
    own = {"agent_id": agent, "resource": resource}
    lots = [
        (lot, is_past)
        for lot, is_past in zip(meters.lots, past, strict=True)
        if (lot.agent, lot.resource) == (agent, resource)
    ]
    ended = [row for row in meters.usage if own.items() <= row.items()]
    return {
        "market": market,
        **own,
        "won": sum(lot.units for lot, _ in lots),
        "free": sum(lot.remaining for lot, is_past in lots if not is_past),
        "held": sum(row["held"] for row in holds if own.items() <= row.items()),
        "used": sum(row["used"] for row in ended),
        "overdrawn": sum(max(row["used"] - row["held"], 0) for row in ended),
        "expired": sum(lot.remaining for lot, is_past in lots if is_past),
    }
