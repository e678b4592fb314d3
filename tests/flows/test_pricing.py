"""The pricing flow in a loop with a market: stopped anywhere, and with its prices as a floor."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

import pytest
from bytewax.testing import TestingSource, cluster_main

from flows.pricing import build
from operators.keyed import BatchSink
from operators.pricing_rules import Controller, Eip1559, Ewma, Fixed, Observation, Tatonnement, Vwap
from operators.quote import Plan
from state.market import PPM
from state.window import OutboundMessage, PriceRow
from tests.support.market_loop import MarketLoop, past_in
from walras_schemas import MarketWindow

PLAN: Plan = {
    "cpu": Eip1559(),
    "gpu": Vwap(windows=3),
    "ram": Ewma(half_life_windows=2),
    "ssd": Tatonnement(),
}
WINDOWS = 30
REREAD = 4
"""So many windows of the results are read again after a restart."""


def bids_at(price: int, *, resource: str = "gpu", bidders: int = 10) -> list[dict[str, Any]]:
    """Bidders who want two units each, the first of them for `price`, each next one for less."""
    return [
        {"resource": resource, "quantity": 2, "unit_price_micros": max(price - 10 * rank, 1)}
        for rank in range(bidders)
    ]


# --- stopped anywhere -----------------------------------------------------------------------------


@cache
def recorded() -> Sequence[MarketWindow]:
    """The results of a market with idle windows, windows without sales and three resources."""
    dice = Random(5)
    market = MarketLoop(PLAN)
    market.open(
        cpu={"supply": 9, "initial_price_micros": 300, "reserve_ratio_ppm": PPM},
        gpu={"supply": 7, "initial_price_micros": 500},
        ram={"supply": 8, "initial_price_micros": 80},
        ssd={"supply": 6, "initial_price_micros": 600},
    )
    while len(market.results) < WINDOWS:
        resources = [name for name in PLAN if dice.random() < 0.6]
        market.play(
            [bid for name in resources for bid in bids_at(dice.randint(1, 900), resource=name)]
        )
    return market.results


def run(windows: Sequence[MarketWindow]) -> Mapping[str, OutboundMessage]:
    """What the flow quotes from these results, by id, where the ledger holds all that preceded."""
    quotes: list[OutboundMessage] = []

    def past_of(_market: str, plan: Plan, before: int) -> dict[str, list[Observation]]:
        return {
            name: past_in(recorded(), name, before=before, sales=controller.remembered_sales)
            for name, controller in plan.items()
        }

    cluster_main(
        build(
            source=TestingSource([(window.market, window) for window in windows]),
            plan_of=lambda _market: PLAN,
            past_of=past_of,
            quoted_of=lambda _window: {},
            publish=BatchSink(quotes.extend),
        ),
        [],
        0,
    )
    by_id = {quote.msg_id: quote for quote in quotes}
    assert len(by_id) == len(quotes), "one run never quotes twice"
    return by_id


def test_a_kill_anywhere_changes_no_quote() -> None:
    """A restart that quotes another price for a window would have two truths in one log."""
    undisturbed = run(recorded())
    assert set(PLAN) == {q.subject.rpartition(".")[2] for q in undisturbed.values()}
    for cut in range(1, WINDOWS):
        before = run(recorded()[:cut])
        after = run(recorded()[max(cut - REREAD, 0) :])
        again = before.keys() & after.keys()
        assert [before[each] for each in again] == [after[each] for each in again]
        assert undisturbed == {**before, **after}


def test_markets_are_priced_apart() -> None:
    """Two markets that list the same resources must not share what was seen of one of them."""
    ours = recorded()
    theirs = [window.model_copy(update={"market": "another"}) for window in ours]
    together = run([window for pair in zip(ours, theirs, strict=True) for window in pair])
    assert {**run(ours), **run(theirs)} == together


def test_a_long_absence_is_not_made_up_for() -> None:
    """A controller that winds up while nobody heeds it would come back with a monstrous price."""
    undisturbed = run(recorded())
    late = run(recorded()[-1:])
    assert late
    assert late.items() <= undisturbed.items()


# --- a rolling reserve ----------------------------------------------------------------------------


def heat_and_cool(
    controller: Controller, *, reserve_ratio_ppm: int
) -> Iterator[tuple[str, list[PriceRow]]]:
    """Forty windows each with bidders of modest, of large and again of modest means."""
    market = MarketLoop({"gpu": controller})
    market.open(
        gpu={
            "supply": 10,
            "initial_price_micros": 1000,
            "reserve_ratio_ppm": reserve_ratio_ppm,
        }
    )
    for season, worth in (("mild", 1000), ("hot", 4000), ("cool", 1000)):
        yield season, [row for _ in range(40) for row in market.play(bids_at(worth))]


@pytest.mark.parametrize("controller", [Eip1559(), Tatonnement()])
def test_a_floor_follows_the_heat_and_comes_back(controller: Controller) -> None:
    """A floor that stays up when demand is gone ends the market; one that stays down is none."""
    seasons = dict(heat_and_cool(controller, reserve_ratio_ppm=PPM))
    ends = {season: rows[-1] for season, rows in seasons.items()}
    assert 900 <= ends["mild"].reference_micros <= 1050
    assert 1500 <= ends["hot"].reference_micros <= 4200
    assert 900 <= ends["cool"].reference_micros <= 1050
    assert 0 in {row.sold for row in seasons["cool"][:20]}, "at first nobody reaches the floor"
    assert all(row.sold >= 6 for row in seasons["cool"][-10:])
    for rows in seasons.values():
        assert all((row.clearing_micros or PPM) >= row.reference_micros for row in rows)


@pytest.mark.parametrize("controller", [Vwap(), Ewma()])
def test_an_average_of_sales_freezes_under_its_own_floor(controller: Controller) -> None:
    """Known and told in docs/pricing.md: it is why the usual controller of a floor is eip1559."""
    seasons = dict(heat_and_cool(controller, reserve_ratio_ppm=900_000))
    assert seasons["hot"][-1].reference_micros > 3500
    assert {0} == {row.sold for row in seasons["cool"][2:]}
    assert 1 == len({row.reference_micros for row in seasons["cool"][2:]})


def test_without_a_floor_an_average_comes_back() -> None:
    """The reference price must follow the market where nothing holds it up."""
    seasons = dict(heat_and_cool(Vwap(windows=10), reserve_ratio_ppm=0))
    assert {10} == {row.sold for rows in seasons.values() for row in rows[1:]}
    assert seasons["cool"][-1].reference_micros == seasons["mild"][-1].reference_micros


def test_a_market_without_bids_comes_to_rest() -> None:
    """Quotes make windows, and windows quotes: left alone the loop must end, not fill the log."""
    market = MarketLoop({"cpu": Eip1559(), "gpu": Fixed(price_micros=9)})
    market.open(
        cpu={"supply": 9, "reserve_ratio_ppm": PPM}, gpu={"supply": 7, "initial_price_micros": 500}
    )
    lengths = [len(market.play()) for _ in range(8)]
    assert [0] * 4 == lengths[-4:]
    assert {"gpu": 9} == {
        row.resource: row.reference_micros
        for row in market.play(bids_at(50, bidders=1))
        if row.resource == "gpu"
    }
