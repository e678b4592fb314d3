"""The market-clearing prices of a window and the most that can be served, by linear programming.

Bids may be filled in part here, bundles too. The dual of each resource's supply is its price above
the reserve: at those prices what is asked for equals what there is. Source: D. Bertsimas and
J. Tsitsiklis, Introduction to Linear Optimization (1997), ch. 4; solved by HiGHS (Q. Huangfu and
J. Hall, Mathematical Programming Computation 10, 2018).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

from bench.pricing.demand import SUPPLY, Request, Scenario, requests


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best allocation of a window, if every bid could be divided."""

    prices: Mapping[str, float]
    """Micros per unit of each resource."""
    served_micros: float
    """What the bids that are filled offer."""


@cache
def optima(scenario: Scenario) -> Sequence[Optimum]:
    """The optimum of each window of a scenario."""
    names = list(scenario.asked)
    return [optimum(window, names, scenario.reserve_micros) for window in requests(scenario)]


def optimum(bids: Sequence[Request], names: Sequence[str], reserve_micros: int) -> Optimum:
    """The optimum over bids for these resources, each with the same supply and reserve."""
    standing = [bid for bid in bids if bid.limit_micros >= reserve_micros * sum(bid.units.values())]
    if not standing:
        return Optimum(dict.fromkeys(names, float(reserve_micros)), 0.0)
    place = {name: row for row, name in enumerate(names)}
    limits = np.array([bid.limit_micros for bid in standing], dtype=float)
    units = [
        (place[name], column, count)
        for column, bid in enumerate(standing)
        for name, count in bid.units.items()
    ]
    rows, columns, counts = zip(*units, strict=True)
    asked = csr_array((counts, (rows, columns)), shape=(len(names), len(standing)))
    net = limits - reserve_micros * asked.sum(axis=0)
    found = linprog(-net, A_ub=asked, b_ub=np.full(len(names), SUPPLY), bounds=(0, 1))
    assert found.success, found.message
    prices = reserve_micros - found.ineqlin.marginals
    return Optimum(
        dict(zip(names, prices.tolist(), strict=True)), served_micros=float(limits @ found.x)
    )
