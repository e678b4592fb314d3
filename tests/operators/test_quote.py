"""Quotes: one word for each window, the same for ever, and none where nobody needs it."""

import json
from typing import Final

import pytest

from operators.pricing_rules import Fixed, Observation, Vwap
from operators.quote import Plan, QuotePrices, quote, quote_id
from walras_schemas import MarketWindow, PriceQuoted, ResourcePrice, subjects, uuid7_ms

WINDOW: Final = 1_760_000_000


def price(resource: str = "gpu", **differs: object) -> ResourcePrice:
    usual = {
        "resource": resource,
        "reference_micros": 10,
        "reserve_micros": 0,
        "clearing_micros": 12,
        "supply": 100,
        "demanded": 50,
        "wanted": 50,
        "sold": 50,
        "stale": False,
    }
    return ResourcePrice.model_validate(usual | differs)


def window(window_id: int = WINDOW, *prices: ResourcePrice, market: str = "m1") -> MarketWindow:
    return MarketWindow(
        market=market,
        shard=0,
        window_id=window_id,
        window_ms=1000,
        next_seq=2,
        digest="0" * 64,
        closed_at="2025-10-09T08:53:21Z",
        rule="uniform",
        agents=1,
        bids=1,
        won=1,
        partially_won=0,
        lost=0,
        withdrawn=0,
        rejected=0,
        commands=0,
        paid_micros=0,
        offered_micros=0,
        served_micros=0,
        prices=list(prices or [price()]),
    )


def step(plan: Plan, *, quoted: dict[str, str] | None = None) -> QuotePrices:
    return QuotePrices(lambda _market: plan, lambda *_: {}, lambda _window: quoted or {})


def quoted(step: QuotePrices, window: MarketWindow) -> dict[str, int]:
    return {
        message.subject: json.loads(message.payload)["price_micros"] for message in step(window)
    }


AT_TEN: Final[Plan] = {"gpu": Fixed(price_micros=10)}
GPU: Final = subjects.price("m1", "gpu")


def test_a_quote_is_a_command_that_the_log_takes() -> None:
    """What the registry refuses would be a dead letter, window after window."""
    sent = quote(window(), "gpu", 12)
    command = PriceQuoted.model_validate_json(sent.payload)
    assert (GPU, 12, sent.msg_id) == (sent.subject, command.price_micros, command.event_id)


def test_its_id_is_born_when_the_window_ends() -> None:
    """Any other time would be stale or from the future where windows are long."""
    assert (WINDOW + 1) * 1000 == uuid7_ms(quote_id(window(), "gpu"))


def test_ids_differ_where_the_quotes_do() -> None:
    """Two quotes under one id would be one: the second resource would keep its old price."""
    first = window()
    others = [
        quote_id(window(WINDOW + 1), "gpu"),
        quote_id(window(market="m2"), "gpu"),
        quote_id(first.model_copy(update={"shard": 1}), "gpu"),
        quote_id(first, "cpu"),
    ]
    assert 5 == len({quote_id(first, "gpu"), *others})
    assert quote_id(first, "gpu") == quote_id(window(), "gpu")


def test_a_window_that_comes_again_is_skipped() -> None:
    """A sale that entered an average twice would shift every later price."""
    market = step({"gpu": Vwap()})
    quotes = [quoted(market, window(number)) for number in (WINDOW, WINDOW, WINDOW - 1, WINDOW + 1)]
    assert [{GPU: 12}, {}, {}, {GPU: 12}] == quotes


@pytest.mark.parametrize(
    ("cleared", "expected"),
    [
        (price(demanded=0, sold=0, clearing_micros=None), {}),
        (price(demanded=0, sold=0, clearing_micros=None, stale=True), {GPU: 10}),
        (price(demanded=0, sold=0, clearing_micros=None, reference_micros=9), {GPU: 10}),
        (price(), {GPU: 10}),
    ],
    ids=["at rest", "stale", "not in force yet", "in demand"],
)
def test_a_market_at_rest_is_left_at_rest(cleared: ResourcePrice, expected: dict[str, int]) -> None:
    """Each quote makes a window with a row, which would be quoted again, and so on for ever."""
    assert expected == quoted(step(AT_TEN), window(WINDOW, cleared))


def test_demand_for_one_resource_wakes_all() -> None:
    """The prices of a market that trades must not grow stale one by one."""
    idle = price("cpu", demanded=0, sold=0, clearing_micros=None)
    market = step({"cpu": Fixed(price_micros=10), "gpu": Fixed(price_micros=10)})
    assert {subjects.price("m1", "cpu"): 10, GPU: 10} == quoted(
        market, window(WINDOW, idle, price())
    )


def test_what_is_not_listed_is_not_quoted() -> None:
    """The log would refuse a quote of a resource that the market has dropped."""
    assert {GPU: 10} == quoted(step(AT_TEN), window(WINDOW, price("tape"), price()))


def test_a_window_is_not_quoted_after_a_later_one() -> None:
    """A start reads windows again: what an older choice left out must not overrule a newer."""
    cpu, gpu = price("cpu"), price("gpu")
    market = step(
        {"cpu": Fixed(price_micros=10), "gpu": Fixed(price_micros=10)},
        quoted={"gpu": quote_id(window(WINDOW + 1), "gpu")},
    )
    quotes = [quoted(market, window(WINDOW + number, cpu, gpu)) for number in range(3)]
    both = {subjects.price("m1", "cpu"): 10, GPU: 10}
    assert [{subjects.price("m1", "cpu"): 10}] * 2 + [both] == quotes


def test_a_resource_that_is_listed_later_is_quoted_too() -> None:
    """A market that is opened again must not end the pricing of all."""
    market = step({"cpu": Fixed(price_micros=10), "gpu": Fixed(price_micros=10)})
    assert {GPU: 10} == quoted(market, window(WINDOW))
    assert {subjects.price("m1", "cpu"): 10} == quoted(market, window(WINDOW + 1, price("cpu")))


def test_a_new_choice_counts_from_the_next_window() -> None:
    """An operator who fixes a price must not have to restart anything, nor lose the past."""
    plan: dict[str, Fixed | Vwap] = {"gpu": Fixed(price_micros=7)}
    past = [Observation(WINDOW, 10, 30, 100, 50, 50)]
    market = QuotePrices(lambda _market: dict(plan), lambda *_: {"gpu": past}, lambda _window: {})
    before = quoted(market, window(WINDOW))
    plan["gpu"] = Vwap()
    assert [{GPU: 7}, {GPU: 21}] == [before, quoted(market, window(WINDOW + 1))]
