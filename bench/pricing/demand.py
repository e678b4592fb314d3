"""What the bidders of a simulated market ask for, window by window, and what it is worth to them.

No bidder reacts to a price, and none runs out of credits: what differs between two runs of a
scenario is how it was priced. Promise: a scenario gives the same bids in every run.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

SUPPLY: Final = 1_000
UNITS_MAX: Final = 29
MEAN_UNITS: Final = (1 + UNITS_MAX) / 2
USUAL_MICROS: Final = 100_000
SEED: Final = 7

Course = Callable[[int], float]
"""A number that moves with the windows."""
Valuation = Callable[[int, random.Random], float]
"""What a unit is worth to the median bidder of a window, relative to its usual valuation."""


class Request(NamedTuple):
    """What a bidder asks, all or nothing where it is several resources, and what it offers."""

    units: Mapping[str, int]
    limit_micros: int


def usual(_window: int, _rng: random.Random) -> float:
    """The usual valuation."""
    return 1.0


def constant(value: float) -> Course:
    """A number that does not move."""
    return lambda _window: value


@dataclass(frozen=True, eq=False)
class Scenario:
    """How demand and valuations move; `changes` are the windows in which one of them jumps."""

    name: str
    windows: int
    asked: Mapping[str, Course]
    """Units asked of each resource, over its supply."""
    valuation: Valuation = usual
    changes: Sequence[int] = ()
    spread: float = 0.5
    """Standard deviation of the logarithm of the bidders' valuations."""
    bundled: float = 0.0
    """The share of the requests that are joined to bundles of several resources."""
    initial: float = 1.0
    """The first reference price, over the usual valuation."""
    reserve_micros: int = 0

    @property
    def initial_micros(self) -> int:
        """The first reference price."""
        return round(USUAL_MICROS * self.initial)


@cache
def requests(scenario: Scenario) -> Sequence[Sequence[Request]]:
    """The requests of each window, in the order in which they reach the market."""
    rng = random.Random(SEED)
    return [_window_of(scenario, window, rng) for window in range(scenario.windows)]


def _window_of(scenario: Scenario, window: int, rng: random.Random) -> Sequence[Request]:
    valuation = USUAL_MICROS * scenario.valuation(window, rng)
    alone: list[Request] = []
    joined: list[list[Request]] = []
    for resource, asked in scenario.asked.items():
        count = round(asked(window) * SUPPLY / MEAN_UNITS)
        each = [_request(resource, valuation, scenario.spread, rng) for _ in range(count)]
        parts = round(scenario.bundled * count)
        joined.append(each[:parts])
        alone += each[parts:]
    bundles = [_bundle(rank, joined) for rank in range(max(map(len, joined), default=0))]
    mixed = alone + bundles
    rng.shuffle(mixed)
    return mixed


def _request(resource: str, valuation: float, spread: float, rng: random.Random) -> Request:
    units = rng.randint(1, UNITS_MAX)
    price_micros = int(valuation * math.exp(rng.gauss(0.0, spread)))
    return Request({resource: units}, units * price_micros)


def _bundle(rank: int, joined: Sequence[Sequence[Request]]) -> Request:
    """The requests of this rank as one: those of a resource asked for less are fewer."""
    parts = [requests[rank] for requests in joined if rank < len(requests)]
    units = {name: count for part in parts for name, count in part.units.items()}
    return Request(units, sum(part.limit_micros for part in parts))


# --- the scenarios --------------------------------------------------------------------------------

ONE: Final[Mapping[str, Course]] = {"r": constant(1.5)}
THREE: Final[Mapping[str, Course]] = {
    "scarce": constant(1.5),
    "even": constant(1.0),
    "idle": constant(0.6),
}
RESERVE_MICROS: Final = 10_000
"""A tenth of what a unit is usually worth."""
WRONG: Final = 100
"""The factor by which a wrong start is wrong."""


def season(window: int, _rng: random.Random) -> float:
    """Valuations swing by half over 120 windows."""
    return 1.0 + 0.5 * math.sin(window * math.tau / 120)


def noise(_window: int, rng: random.Random) -> float:
    """Valuations jump by 30 % from window to window."""
    return math.exp(rng.gauss(0.0, 0.3))


@cache
def wrong_start(bundled: float, initial: float) -> Scenario:
    """Three resources, whose first reference prices are this factor of the usual valuation."""
    return Scenario(
        "wrong start", 120, THREE, bundled=bundled, initial=initial, reserve_micros=RESERVE_MICROS
    )


@cache
def demand_step(bundled: float) -> Scenario:
    """Twice as much is asked of the scarce resource for 150 windows."""
    asked = {**THREE, "scarce": lambda window: 3.0 if 150 <= window < 300 else 1.5}
    return Scenario(
        "step", 450, asked, changes=(150, 300), bundled=bundled, reserve_micros=RESERVE_MICROS
    )


@cache
def several(valuation: Valuation, bundled: float) -> Scenario:
    """Three resources of different scarcity whose valuations move."""
    return Scenario(
        "several", 360, THREE, valuation, bundled=bundled, reserve_micros=RESERVE_MICROS
    )


@cache
def random_market(bundled: float) -> Scenario:
    """Four resources asked for 4, 2, 1.2 and 0.5 times, at valuations that move, no reserve."""
    shares = {"a": 4.0, "b": 2.0, "c": 1.2, "d": 0.5}
    asked = {name: constant(share) for name, share in shares.items()}
    return Scenario("random", 130, asked, noise, bundled=bundled)


HOUR: Final = 3_600
FORGOTTEN: Final = Scenario(
    "an hour without a bid",
    HOUR + 160,
    {
        "forgotten": lambda window: 0.0 if 20 <= window < 20 + HOUR else 1.5,
        "other": constant(MEAN_UNITS / SUPPLY),
    },
    changes=(20, 20 + HOUR),
    reserve_micros=RESERVE_MICROS,
)
"""A resource that nobody wants for an hour and then everybody; one bid keeps the market open."""

STEP: Final = Scenario(
    "step",
    450,
    ONE,
    lambda window, _rng: 2.0 if 150 <= window < 300 else 1.0,
    changes=(150, 300),
)
SEASON: Final = Scenario("season", 480, ONE, season)
NOISE: Final = Scenario("noise", 450, ONE, noise)
SLUMP: Final = Scenario(
    "slump",
    350,
    ONE,
    lambda window, _rng: 1.0 if window < 150 else 0.5,
    changes=(150,),
    spread=0.1,
)
"""Bidders with similar valuations, none of which reaches the old price any more."""
