"""Pricing rules in a closed loop: demand moves, the market clears, the prices follow.

Each window is judged and cleared by the market's own rules, and a quote is in force two windows
after the one it was computed from, as in a deployment. Promise: every run gives the same numbers.
"""

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from math import log
from statistics import fmean, median, pstdev
from typing import Final

from bench.pricing.demand import SUPPLY, Request, Scenario, requests
from bench.pricing.one_level import clear_at_one_level
from bench.pricing.optimum import optima
from operators.admit import terms_refusal
from operators.clear import Clearing, clear
from operators.pricing_rules import Controller, Observation, PricingRule, on_reserves
from state.bids import Bid
from state.market import PPM, ResourceTerms, Terms
from walras_schemas import BidStatus

DELAY: Final = 2
NEAR: Final = 0.10
WARM_UP: Final = 30
LEVEL_OVER: Final = 40
AVERAGED: Final = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """How every resource of a market is priced, and the share of its price that is the floor."""

    controller: Controller
    ratio_ppm: int = 0
    before: bool = False
    """As it was before: one level for all resources, and no anchor under any rule."""

    def rule(self, scenario: Scenario) -> PricingRule:
        """The rule that prices a resource."""
        if self.before:
            return self.controller
        return on_reserves(
            self.controller,
            reserve_micros=scenario.reserve_micros,
            reserve_ratio_ppm=self.ratio_ppm,
        )


@dataclass(slots=True)
class Run:
    """One setting in one scenario: what each window cleared."""

    scenario: Scenario
    rows: dict[str, list[Observation]] = field(default_factory=dict)
    served_micros: list[int] = field(default_factory=list)
    """What the winners offered for what they won."""
    paid_micros: list[int] = field(default_factory=list)
    lost_micros: list[int] = field(default_factory=list)
    """What paradoxically rejected bids offered above the cost of what they asked."""

    def prices(self, resource: str) -> list[int]:
        """The reference price of each window."""
        return [row.reference_micros for row in self.rows[resource]]

    def balanced(self, resource: str) -> list[float]:
        """The market-clearing price of each window."""
        return [each.prices[resource] for each in optima(self.scenario)]

    def utilisation(self, resource: str) -> float:
        """The share of the supply that was sold."""
        return fmean(row.sold / row.supply for row in self.rows[resource][WARM_UP:])

    def volatility(self, resource: str) -> float:
        """The standard deviation of the price's change from window to window."""
        after = self.prices(resource)[WARM_UP:]
        return pstdev(log(new / old) for old, new in pairwise(after))

    def distance(self, resource: str, *, since: int = WARM_UP) -> float:
        """How far the reference price is from the market-clearing price, in the median window."""
        pairs = zip(self.prices(resource)[since:], self.balanced(resource)[since:], strict=True)
        return median(abs(price / balanced - 1) for price, balanced in pairs)

    def mean_error(self, resource: str, *, since: int) -> float:
        """How far the average reference price is from the average market-clearing price."""
        return fmean(self.prices(resource)[since:]) / fmean(self.balanced(resource)[since:]) - 1

    def clearing_error(self, resource: str, *, since: int) -> float:
        """How far the average price paid is from the average market-clearing price."""
        paid = fmean(row.clearing_micros or 0 for row in self.rows[resource][since:])
        return paid / fmean(self.balanced(resource)[since:]) - 1

    def reference_to_clearing(self, resource: str) -> float:
        """The reference price over the clearing price, at the end."""
        rows = self.rows[resource][-LEVEL_OVER:]
        paid = fmean(row.clearing_micros for row in rows if row.clearing_micros is not None)
        return fmean(row.reference_micros for row in rows) / paid

    def served(self) -> float:
        """The value that was served, over the most that could be."""
        return sum(self.served_micros[WARM_UP:]) / self._best()

    def lost(self) -> float:
        """What paradoxically rejected bids offered above the cost, over the most to be served."""
        return sum(self.lost_micros[WARM_UP:]) / self._best()

    def revenue(self) -> float:
        """What was paid, over the value that was served."""
        return sum(self.paid_micros[WARM_UP:]) / sum(self.served_micros[WARM_UP:])

    def free_though_sold_out(self) -> float:
        """The share of windows in which a resource was sold out, wanted by more, and free.

        Of the resource with which that happens most often.
        """
        return max(
            fmean(
                not row.clearing_micros and row.sold == row.supply < row.wanted
                for row in rows[WARM_UP:]
            )
            for rows in self.rows.values()
        )

    def _best(self) -> float:
        return sum(each.served_micros for each in optima(self.scenario)[WARM_UP:])

    def settling(self, resource: str, change: int) -> tuple[int | None, float]:
        """Windows until the price stays near its new level, and how far it went past that.

        The price is averaged over ten windows, for its noise is another measure. None: it did not.
        """
        end = min([later for later in self.scenario.changes if later > change], default=None)
        prices = self.prices(resource)[change:end]
        smooth = [fmean(prices[at : at + AVERAGED]) for at in range(len(prices) - AVERAGED + 1)]
        level = fmean(prices[-LEVEL_OVER:])
        outside = [at for at, price in enumerate(smooth, 1) if abs(price / level - 1) > NEAR]
        past = max(smooth) / level - 1 if level > prices[0] else 1 - min(smooth) / level
        settled = max(outside, default=0)
        return (settled if settled < len(smooth) - LEVEL_OVER else None), max(past, 0.0)


@cache
def simulate(scenario: Scenario, setting: Setting) -> Run:
    """Let a pricing rule price every resource of a scenario's market."""
    names = list(scenario.asked)
    rule = setting.rule(scenario)
    trackers = {name: rule.start(()) for name in names}
    in_force = {name: deque([scenario.initial_micros] * DELAY) for name in names}
    run = Run(scenario, rows={name: [] for name in names})
    for window, asked in enumerate(requests(scenario)):
        references = {name: prices.popleft() for name, prices in in_force.items()}
        terms = _terms(references, scenario.reserve_micros, setting.ratio_ppm)
        bids = [bid for bid in _bids(asked) if _stands(terms, bid)]
        clearing = clear_at_one_level(terms, bids) if setting.before else clear(terms, bids)
        run.served_micros.append(sum(bid.won * bid.unit_price_micros for bid in bids))
        run.paid_micros.append(sum(bid.paid_micros for bid in bids))
        run.lost_micros.append(sum(bid.lost_value_micros or 0 for bid in bids))
        for name in names:
            row = _observation(window, name, terms, clearing)
            run.rows[name].append(row)
            in_force[name].append(trackers[name](row) or in_force[name][-1])
    return run


def _terms(references: Mapping[str, int], reserve_micros: int, ratio_ppm: int) -> Terms:
    resources = {
        name: ResourceTerms(
            supply=SUPPLY,
            reference_micros=reference,
            reserve_micros=max(reserve_micros, reference * ratio_ppm // PPM),
            stale_from=sys.maxsize,
        )
        for name, reference in references.items()
    }
    return Terms((0, 0), is_open=True, rule="uniform", max_commands=1, resources=resources)


def _bids(asked: Sequence[Request]) -> list[Bid]:
    return [_bid(seq, *request) for seq, request in enumerate(asked)]


def _bid(seq: int, units: Mapping[str, int], limit_micros: int) -> Bid:
    of_one = len(units) == 1
    (resource, quantity), *_ = units.items()
    return Bid(
        seq,
        0,
        0,
        "m",
        "a",
        str(seq),
        resource if of_one else None,
        quantity if of_one else 1,
        limit_micros // quantity if of_one else limit_micros,
        1,
        None if of_one else units,
        BidStatus.LOST,
    )


def _observation(window: int, name: str, terms: Terms, clearing: Clearing) -> Observation:
    resource = terms.resources[name]
    return Observation(
        window_id=window,
        reference_micros=resource.reference_micros,
        clearing_micros=clearing.clearing_micros.get(name),
        supply=resource.supply,
        sold=clearing.sold[name],
        wanted=clearing.wanted[name],
    )


def _stands(terms: Terms, bid: Bid) -> bool:
    return terms_refusal(terms, bid.demand, bid.limit_micros, divisible=True) is None
