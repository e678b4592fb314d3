"""Prices in simulated markets: what docs/pricing.md says of them, and what it is measured by."""

from itertools import product
from pathlib import Path
from random import Random
from typing import Final

import pytest

from bench.pricing.__main__ import PAGE, with_table
from bench.pricing.demand import RESERVE_MICROS, SUPPLY, WRONG, Request, Scenario, wrong_start
from bench.pricing.optimum import optimum
from bench.pricing.simulation import Run, Setting, simulate
from bench.pricing.tables import BEFORE, SINCE, line, start_row
from operators.pricing_rules import Controller, Eip1559, Ewma, Tatonnement, Vwap

NEAR: Final = 0.10
STARTS: Final = (WRONG, 1 / WRONG)
BUNDLED: Final = (0.0, 0.5)


def from_wrong_start(rule: Controller, initial: float, bundled: float) -> Run:
    """Three resources, asked for 1.5, 1.0 and 0.6 times."""
    return simulate(wrong_start(bundled, initial), Setting(rule))


@pytest.mark.parametrize("initial", STARTS)
@pytest.mark.parametrize("bundled", BUNDLED)
def test_the_usual_controller_finds_what_a_scarce_resource_costs(
    initial: float, bundled: float
) -> None:
    """A market whose prices keep the ratio that somebody typed once discovers nothing."""
    run = from_wrong_start(Tatonnement(), initial, bundled)
    assert abs(run.mean_error("scarce", since=SINCE)) < NEAR
    assert abs(run.clearing_error("scarce", since=SINCE)) < NEAR


@pytest.mark.parametrize("initial", STARTS)
@pytest.mark.parametrize("bundled", BUNDLED)
def test_an_idle_resource_is_priced_at_its_reserve(initial: float, bundled: float) -> None:
    """What nobody lacks must not outweigh what everybody does."""
    prices = from_wrong_start(Tatonnement(), initial, bundled).prices("idle")[SINCE:]
    assert RESERVE_MICROS <= min(prices) <= max(prices) <= (1 + NEAR) * RESERVE_MICROS


@pytest.mark.parametrize("rule", [Vwap(), Ewma(), Eip1559()])
@pytest.mark.parametrize("initial", STARTS)
def test_other_controllers_find_it_too(rule: Controller, initial: float) -> None:
    """An operator who chooses another rule must not choose another market."""
    assert abs(from_wrong_start(rule, initial, 0.0).mean_error("scarce", since=SINCE)) < NEAR


@pytest.mark.parametrize("setting", BEFORE)
def test_with_one_level_none_of_them_did(setting: Setting) -> None:
    """What the new rules are compared with must be what was wrong."""
    run = simulate(wrong_start(0.0, WRONG), setting)
    assert abs(run.mean_error("scarce", since=SINCE)) > 0.5
    assert abs(run.clearing_error("scarce", since=SINCE)) > 0.4


@pytest.mark.parametrize("bundled", BUNDLED)
def test_the_page_has_these_numbers(bundled: float) -> None:
    """A table that was made once by hand tells of code that is gone."""
    assert line(start_row(Setting(Tatonnement()), bundled)) in PAGE.read_text(encoding="utf-8")


# --- what it is measured by -----------------------------------------------------------------------


def test_the_optimum_s_price_is_that_of_the_bid_that_is_cut() -> None:
    """A wrong yardstick would call any price right."""
    bids = [Request({"r": 600}, 600 * price) for price in (30, 50, 20, 40)]
    best = optimum(bids, ["r", "s"], reserve_micros=10)
    assert {"r": 40.0, "s": 10.0} == pytest.approx(best.prices)
    assert pytest.approx(600 * 50 + 400 * 40) == best.served_micros


def test_the_optimum_prices_bundles_so_that_they_balance() -> None:
    """Supporting prices: a bid above them is filled, one below is not, and the sold-out has one."""
    dice = Random(3)
    names = ["r", "s"]
    bids = [
        Request(units, sum(units.values()) * dice.randint(20, 90))
        for number in range(40)
        for units in [{name: dice.randint(1, 150) for name in dice.sample(names, k=1 + number % 2)}]
    ]
    best = optimum(bids, names, reserve_micros=10)
    cost = [sum(best.prices[name] * units for name, units in bid.units.items()) for bid in bids]
    surely = [bid for bid, at in zip(bids, cost, strict=True) if bid.limit_micros > at + 1]
    perhaps = [bid for bid, at in zip(bids, cost, strict=True) if bid.limit_micros > at - 1]
    for name in names:
        least, most = (sum(bid.units.get(name, 0) for bid in some) for some in (surely, perhaps))
        assert least <= SUPPLY <= most
        assert best.prices[name] > 10


def test_the_optimum_beats_every_choice_of_whole_bids() -> None:
    """By brute force: no set of bids that fits offers more than the bound says."""
    dice = Random(5)
    bids = [
        Request({"r": dice.randint(100, 600), "s": dice.randint(100, 600)}, dice.randint(10, 99))
        for _ in range(10)
    ]
    offered = [
        sum(bid.limit_micros for bid, chosen in zip(bids, choice, strict=True) if chosen)
        for choice in product((False, True), repeat=len(bids))
        if all(
            sum(bid.units[name] for bid, chosen in zip(bids, choice, strict=True) if chosen)
            <= SUPPLY
            for name in ("r", "s")
        )
    ]
    bound = optimum(bids, ["r", "s"], reserve_micros=0).served_micros
    assert max(offered) <= bound + 1e-6
    assert max(offered) > 0.8 * bound


def test_a_run_repeats_itself() -> None:
    """The numbers of the page can only be checked if they do not change by themselves."""
    scenario = Scenario("short", 20, {"r": lambda _window: 1.5, "s": lambda _window: 0.5})
    again = Scenario("short", 20, scenario.asked)
    setting = Setting(Tatonnement())
    assert simulate(scenario, setting).rows == simulate(again, setting).rows


def test_a_table_is_replaced_between_its_marks() -> None:
    """The command must not eat the words around a table, nor leave an old one."""
    page = "a\n<!-- table t -->\nold\n<!-- end -->\nb <!-- end -->\n"
    assert page.replace("old", "new") == with_table(page, "t", "new")
    with pytest.raises(AssertionError, match="0 places"):
        with_table(page, "other", "new")


def test_every_picture_of_the_page_is_there() -> None:
    """A reader must see what the words speak of."""
    names = [part.split(")")[0] for part in PAGE.read_text(encoding="utf-8").split("](img/")[1:]]
    assert 4 == len(names)
    assert all((Path(PAGE).parent / "img" / name).is_file() for name in names)
