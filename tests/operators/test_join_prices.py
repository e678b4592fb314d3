"""What is in force in a window: the operator's last word before it, the first opening at once."""

from collections.abc import Iterator
from typing import Final

from flows.testing import LogWriter
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.windows import WindowAssigner
from state.log import PricedSlice, ReviewedCommand
from state.market import Listings, ResourceTerms
from tests.operators.steps import raw_batch
from walras_schemas import RejectionReason

WINDOW_MS: Final = 1000


def priced(log: LogWriter, listings: Listings | None = None) -> list[PricedSlice]:
    """The slices of the whole log, read message by message."""
    step, cut = JoinPrices(listings or Listings()), WindowAssigner(WINDOW_MS, 0)
    log.wait(10 * WINDOW_MS)
    log.tick()
    return [
        joined
        for record in log.records
        for raw in cut(raw_batch([record]))
        for joined in step(decode(raw))
    ]


def closing(slices: list[PricedSlice]) -> Iterator[PricedSlice]:
    """The last slice of each window."""
    return (joined for joined in slices if joined.slice.closes)


def gpu_terms(log: LogWriter) -> list[ResourceTerms]:
    """The terms of m1's gpu at the end of each window."""
    return [joined.terms["m1"].resources["gpu"] for joined in closing(priced(log))]


def next_window(log: LogWriter) -> None:
    log.wait(WINDOW_MS)


def test_the_first_opening_counts_at_once() -> None:
    """A market that had to wait a window would refuse the agents it was opened for."""
    log = LogWriter()
    log.tick()
    log.open(gpu={"supply": 5})
    assert [5] == [terms.supply for terms in gpu_terms(log)]


def test_a_change_counts_from_the_next_window() -> None:
    """Agents that bid on ten units must not be cleared over five."""
    log = LogWriter()
    log.open(gpu={"supply": 10})
    log.supply("gpu", 7)
    log.quote("gpu", 20)
    next_window(log)
    log.supply("gpu", 5)
    log.quote("gpu", 30)
    assert [(10, 10), (7, 20)] == [(t.supply, t.reference_micros) for t in gpu_terms(log)]


def test_the_last_change_before_a_window_is_in_force() -> None:
    """Of two changes in one window the later one is the operator's word."""
    log = LogWriter()
    log.open(gpu={"supply": 10})
    next_window(log)
    log.quote("gpu", 20)
    log.quote("gpu", 30)
    next_window(log)
    log.tick()
    assert [10, 10, 30] == [terms.reference_micros for terms in gpu_terms(log)]


def test_another_opening_replaces_what_was_listed() -> None:
    """A supply or resource of the old listing must not live on beside the new one."""
    log = LogWriter()
    log.open(gpu={"supply": 10}, cpu={"supply": 1})
    log.supply("gpu", 7)
    next_window(log)
    log.quote("gpu", 20)
    log.open(rule="vickrey", gpu={"supply": 3})
    next_window(log)
    log.tick()
    last = list(closing(priced(log)))[-1].terms["m1"]
    assert ("vickrey", ["gpu"]) == (last.rule, list(last.resources))
    assert (3, 20) == (last.resources["gpu"].supply, last.resources["gpu"].reference_micros)


def test_an_opening_remembers_when_the_market_began() -> None:
    """What an agent sent before the opening, in the very same window, came too early."""
    log = LogWriter()
    log.tick()
    first = log.open(gpu={"supply": 1})
    log.open(gpu={"supply": 2})
    next_window(log)
    log.tick()
    assert [(first.seq, 0)] * 2 == [j.terms["m1"].opened_at for j in closing(priced(log))]


def test_the_reserve_follows_the_price() -> None:
    """With a ratio the rolling price is the floor, rounded down, unless the fixed one is higher."""
    log = LogWriter()
    rules = {"initial_price_micros": 7, "reserve_ratio_ppm": 500_000, "reserve_micros": 4}
    log.open(gpu={"supply": 1, **rules})
    log.quote("gpu", 9)
    next_window(log)
    log.quote("gpu", 15)
    next_window(log)
    log.tick()
    assert [4, 4, 7] == [terms.reserve_micros for terms in gpu_terms(log)]


def test_prices_turn_stale_after_so_many_windows() -> None:
    """A quote that is too old must be known as such, to the window."""
    log = LogWriter()
    resources = {"gpu": {"supply": 1, "initial_price_micros": 1}}
    opened = log.command("market_opened", resources=resources, stale_after_windows=2)
    log.append("market.m1.market", opened)
    log.quote("gpu", 5)
    for _ in range(4):
        next_window(log)
        log.tick()
    slices = list(closing(priced(log)))
    stale_from = [joined.terms["m1"].resources["gpu"].stale_from for joined in slices]
    quoted = slices[0].slice.window_id
    assert [0, quoted + 3, quoted + 3, quoted + 3, quoted + 3] == stale_from


def test_the_closing_slice_tells_which_listings_changed() -> None:
    """A listing that is left out is not in the ledger, and a restart opens with the old one."""
    log = LogWriter()
    log.open(market="m2", gpu={"supply": 1})
    log.open(market="m1", gpu={"supply": 1})
    next_window(log)
    log.tick()
    next_window(log)
    log.supply("gpu", 9)
    changed = [[listing.market for listing in j.listings] for j in closing(priced(log))]
    assert [["m1", "m2"], [], ["m1"]] == changed


def test_restored_listings_are_in_force_at_once() -> None:
    """A restart begins with a window's first message: the listings before it count."""
    listings = Listings()
    before = LogWriter()
    before.open(gpu={"supply": 10})
    before.supply("gpu", 7)
    priced(before, listings)
    after = LogWriter(records=[])
    after.wait(60_000)
    after.tick()
    assert [7] == [j.terms["m1"].resources["gpu"].supply for j in closing(priced(after, listings))]


def test_operators_are_judged_where_their_state_lives() -> None:
    """An operator's command that is not judged here would reach the agents' books unjudged."""
    log = LogWriter()
    log.quote("gpu", 1)
    log.open(gpu={"supply": 10})
    log.quote("none", 1)
    events = [event for joined in priced(log) for event in joined.slice.events]
    assert [RejectionReason.UNKNOWN_MARKET, None, RejectionReason.UNKNOWN_RESOURCE] == [
        event.command.reason for event in events if isinstance(event.command, ReviewedCommand)
    ]
