"""Judge what a meter holds and settles: the one function of the flow and of a proxy.

Promise: the first rule that fails gives the reason, in the order of `METER_PRECEDENCE`, and the
outcome depends on the meter's own chain, its lots and the window of the message alone. Whoever
knows only the earlier ones of an agent's lots, as a proxy does, judges no hold otherwise than who
knows them all, but for lack of lots. No unit is drawn twice. The rules are those of SEMANTICS §12.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from state.lots import Hold, Lot, MarketMeters, Meter, Usage
from walras_schemas import MeterEvent, MeterOpened, RejectionReason, UnitsHeld, UnitsSettled

LOST: Final = "lost"


class Place(NamedTuple):
    """Where an event of a meter stands in the log: its message, and that message's window."""

    seq: int
    time_ns: int
    window_id: int


class Verdict(NamedTuple):
    """What became of an event: refused for a reason, or applied, with the holds that it ended."""

    reason: RejectionReason | None = None
    held: Hold | None = None
    ended: tuple[Usage, ...] = ()


def judge(
    market: MarketMeters | None,
    number: int,
    event: MeterEvent,
    place: Place,
    *,
    is_known: Callable[[str], bool],
) -> Verdict:
    """Judge an event of meter `number` and, if no rule refuses it, apply it to the meter.

    `market` is None before its first opening; `is_known` says whether an agent ever received
    credits.
    """
    if market is None:
        return Verdict(RejectionReason.UNKNOWN_MARKET)
    if number >= market.count:
        return Verdict(RejectionReason.UNKNOWN_METER)
    meter = market.opened.get(number) or Meter()
    if event.epoch != meter.epoch + isinstance(event, MeterOpened):
        return Verdict(RejectionReason.STALE_EPOCH)
    if isinstance(event, UnitsHeld):
        is_own = is_known(event.agent_id) and market.number_of(event.agent_id) == number
        return _hold(market, meter, event, place, is_own=is_own)
    if isinstance(event, UnitsSettled):
        return _settle(meter, event, place)
    market.opened[number] = meter
    return _open(meter, place)


def lapse(market: MarketMeters, *, before: int) -> list[Lot]:
    """End the time of lots whose last window is below `before`, and give them."""
    past = [lot for meter in market.opened.values() for lot in meter.expire(before)]
    for lot in past:
        lot.lapsed = True
    return past


def _open(meter: Meter, place: Place) -> Verdict:
    meter.epoch, meter.next_n = meter.epoch + 1, 1
    lost = [Usage(hold, place.seq, place.time_ns, hold.quantity, LOST) for hold in _all(meter)]
    for usage in lost:
        _end(meter, usage)
    return Verdict(ended=tuple(lost))


def _all(meter: Meter) -> list[Hold]:
    """The open holds, which are open no longer."""
    holds = list(meter.holds.values())
    meter.holds.clear()
    return holds


def _hold(
    market: MarketMeters, meter: Meter, event: UnitsHeld, place: Place, *, is_own: bool
) -> Verdict:
    reason = _order_refusal(meter, event, place, lag_windows=market.lag_windows)
    if reason is not None:
        return Verdict(reason)
    meter.next_n += 1
    meter.window_id = event.window_id
    meter.expire(event.window_id)
    if not is_own:
        return Verdict(RejectionReason.UNKNOWN_AGENT)
    if event.resource not in market.metered:
        return Verdict(RejectionReason.UNKNOWN_RESOURCE)
    draws = _draw(meter, event)
    if draws is None:
        return Verdict(RejectionReason.INSUFFICIENT_ALLOWANCE)
    hold = Hold(
        epoch=event.epoch,
        n=event.n,
        agent=event.agent_id,
        resource=event.resource,
        quantity=event.quantity,
        window_id=event.window_id,
        seq=place.seq,
        time_ns=place.time_ns,
        draws=draws,
    )
    meter.holds[event.n] = hold
    return Verdict(held=hold)


def _order_refusal(
    meter: Meter, event: UnitsHeld, place: Place, *, lag_windows: int
) -> RejectionReason | None:
    """The first of the rules 5 to 7 that refuses a hold, which then changes nothing."""
    if event.n != meter.next_n or event.window_id < meter.window_id:
        return RejectionReason.OUT_OF_ORDER
    if event.window_id > place.window_id:
        return RejectionReason.FUTURE_WINDOW
    if event.window_id < place.window_id - lag_windows:
        return RejectionReason.STALE_WINDOW
    return None


def _draw(meter: Meter, event: UnitsHeld) -> tuple[tuple[Lot, int], ...] | None:
    """Take the units from the agent's lots, the oldest first; None if they have fewer."""
    lots = meter.free.get((event.agent_id, event.resource), [])
    draws, missing = [], event.quantity
    for lot in lots:
        units = min(lot.free, missing)
        draws.append((lot, units))
        missing -= units
        if not missing:
            break
    if missing:
        return None
    for lot, units in draws:
        lot.free -= units
        lot.held += units
    del lots[: len(draws) - (draws[-1][0].free > 0)]
    if not lots:
        del meter.free[event.agent_id, event.resource]
    return tuple(draws)


def _settle(meter: Meter, event: UnitsSettled, place: Place) -> Verdict:
    hold = meter.holds.pop(event.n, None)
    if hold is None:
        return Verdict(RejectionReason.NOT_HELD)
    usage = Usage(hold, place.seq, place.time_ns, event.used, event.outcome)
    _end(meter, usage)
    return Verdict(ended=(usage,))


def _end(meter: Meter, usage: Usage) -> None:
    """Count what was used against the draws, the oldest first; the rest returns to its lots."""
    left = usage.used
    for lot, units in usage.hold.draws:
        used = min(units, left)
        left -= used
        lot.held -= units
        lot.used += used
        lot.free += units - used
        if units > used and lot.free == units - used:
            _return(meter, lot)
    usage.hold.draws[-1][0].overdrawn += left


def _return(meter: Meter, lot: Lot) -> None:
    """A lot has free units again: they may be drawn on, unless its time is past."""
    if lot.last_window >= meter.window_id and not lot.lapsed:
        meter.offer(lot)
