"""Pricing rules in a closed loop: demand moves, the market clears, the price follows.

Each window is judged and cleared by the market's own rules, and a quote is in force two windows
after the one it was computed from, as in a deployment. No bidder runs out of credits. Promise:
every run gives the same numbers.

    python -m bench.pricing.simulation            the tables of docs/pricing.md
    python -m bench.pricing.plots docs/img        its plots, drawn with matplotlib
"""

import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, fmean, pstdev
from typing import Final

from operators.admit import terms_refusal
from operators.clear import clear
from operators.pricing_rules import Controller, Eip1559, Ewma, Fixed, Observation, Tatonnement, Vwap
from state.bids import Bid
from state.market import PPM, ResourceTerms, Terms
from walras_schemas import BidStatus

SUPPLY: Final = 1_000
BIDS: Final = 100
UNITS_MAX: Final = 29
INITIAL_MICROS: Final = 100_000
DELAY: Final = 2
SEED: Final = 7
NEAR: Final = 0.10
WARM_UP: Final = 30
LEVEL_OVER: Final = 40

Valuation = Callable[[int, random.Random], float]
"""What a unit is worth to the median bidder of a window, relative to its usual valuation."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """How the valuation of the resource moves; `changes` are the windows in which it jumps."""

    name: str
    windows: int
    valuation: Valuation
    changes: Sequence[int] = ()
    spread: float = 0.5
    """Standard deviation of the logarithm of the bidders' valuations."""


STEP: Final = Scenario(
    "step", 450, lambda window, _rng: 2.0 if 150 <= window < 300 else 1.0, changes=(150, 300)
)
SEASON: Final = Scenario(
    "season", 480, lambda window, _rng: 1.0 + 0.5 * math.sin(window * math.tau / 120)
)
NOISE: Final = Scenario("noise", 450, lambda _window, rng: math.exp(rng.gauss(0.0, 0.3)))
SLUMP: Final = Scenario(
    "slump", 350, lambda window, _rng: 1.0 if window < 150 else 0.5, changes=(150,), spread=0.1
)
"""Bidders with similar valuations, none of which reaches the old price any more."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A pricing rule and the share of its price that is the floor."""

    controller: Controller
    ratio_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One setting in one scenario: what each window cleared."""

    scenario: Scenario
    rows: Sequence[Observation]
    balanced_micros: Sequence[float]
    """The price at which the demand of a window equals its supply."""

    @property
    def prices(self) -> list[int]:
        """The reference price of each window."""
        return [row.reference_micros for row in self.rows]

    @property
    def utilisation(self) -> float:
        """The share of the supply that was sold."""
        return fmean(row.sold / row.supply for row in self.rows[WARM_UP:])

    @property
    def volatility(self) -> float:
        """The standard deviation of the price's change from window to window."""
        after = self.prices[WARM_UP:]
        return pstdev(math.log(new / old) for old, new in pairwise(after))

    @property
    def reference_to_clearing(self) -> float:
        """The reference price over the clearing price, at the end."""
        rows = self.rows[-LEVEL_OVER:]
        paid = fmean(row.clearing_micros for row in rows if row.clearing_micros is not None)
        return fmean(row.reference_micros for row in rows) / paid

    def settling(self, change: int) -> tuple[int, float]:
        """Windows until the price stays near its new level, and how far it went past that."""
        end = min([later for later in self.scenario.changes if later > change], default=None)
        prices = self.prices[change:end]
        level = fmean(prices[-LEVEL_OVER:])
        outside = [
            window for window, price in enumerate(prices, 1) if abs(price / level - 1) > NEAR
        ]
        overshoot = (
            max(prices) / level - 1 if level > self.prices[change] else 1 - min(prices) / level
        )
        return max(outside, default=0), overshoot


def simulate(scenario: Scenario, setting: Setting) -> Run:
    """Let a pricing rule price the market of a scenario."""
    rng = random.Random(SEED)
    follow = setting.controller.start(())
    in_force: deque[int] = deque([INITIAL_MICROS] * DELAY)
    rows: list[Observation] = []
    balanced: list[float] = []
    for window in range(scenario.windows):
        valuation = INITIAL_MICROS * scenario.valuation(window, rng)
        bids = _bids(valuation, scenario.spread, rng)
        rows.append(_cleared(window, _terms(in_force.popleft(), setting.ratio_ppm), bids))
        balanced.append(valuation * _balance(scenario.spread))
        in_force.append(follow(rows[-1]) or in_force[-1])
    return Run(scenario, rows, balanced)


def _terms(reference_micros: int, ratio_ppm: int) -> Terms:
    resource = ResourceTerms(
        supply=SUPPLY,
        reference_micros=reference_micros,
        reserve_micros=reference_micros * ratio_ppm // PPM,
        stale_from=sys.maxsize,
    )
    return Terms((0, 0), is_open=True, rule="uniform", max_commands=BIDS, resources={"r": resource})


def _bids(valuation: float, spread: float, rng: random.Random) -> list[Bid]:
    return [
        _bid(seq, rng.randint(1, UNITS_MAX), int(valuation * math.exp(rng.gauss(0.0, spread))))
        for seq in range(BIDS)
    ]


def _bid(seq: int, quantity: int, price_micros: int) -> Bid:
    return Bid(seq, 0, 0, "m", "a", str(seq), "r", quantity, price_micros, 1, None, BidStatus.LOST)


def _cleared(window: int, terms: Terms, bids: Iterable[Bid]) -> Observation:
    clearing = clear(terms, [bid for bid in bids if _stands(terms, bid)])
    resource = terms.resources["r"]
    return Observation(
        window_id=window,
        reference_micros=resource.reference_micros,
        clearing_micros=clearing.clearing_micros.get("r"),
        supply=resource.supply,
        sold=clearing.sold["r"],
        wanted=clearing.wanted["r"],
    )


def _stands(terms: Terms, bid: Bid) -> bool:
    return terms_refusal(terms, bid.demand, bid.limit_micros, divisible=True) is None


def _balance(spread: float) -> float:
    """The price, relative to the median valuation, at which demand equals supply."""
    share = SUPPLY / (BIDS * (1 + UNITS_MAX) / 2)
    return math.exp(spread * NormalDist().inv_cdf(1 - share))


# --- the tables -----------------------------------------------------------------------------------

FLOORLESS: Final = (
    Setting(Fixed(price_micros=INITIAL_MICROS)),
    *(Setting(Vwap(windows=windows)) for windows in (5, 20, 60)),
    *(Setting(Ewma(half_life_windows=windows)) for windows in (2, 5, 10)),
    Setting(Eip1559()),
)
FLOORED: Final = (
    Setting(Vwap(), 500_000),
    Setting(Vwap(), 800_000),
    Setting(Ewma(), 800_000),
    Setting(Eip1559(), 500_000),
    *(Setting(Eip1559(target_ppm=target), PPM) for target in (500_000, 700_000, 800_000, 900_000)),
)
HEADINGS: Final = (
    "controller",
    "floor",
    "settling time up",
    "settling time down",
    "overshoot",
    "volatility",
    "utilisation",
    "reference / clearing",
    "sold after a slump",
)


def table(settings: Iterable[Setting]) -> str:
    """The settings compared, in Markdown."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *map(_measured, settings)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _measured(setting: Setting) -> list[str]:
    step, season, noise = (simulate(scenario, setting) for scenario in (STEP, SEASON, NOISE))
    (up, overshoot_up), (down, overshoot_down) = (step.settling(change) for change in STEP.changes)
    slump = simulate(SLUMP, setting).rows[SLUMP.changes[0] :]
    return [
        label(setting.controller),
        f"{100 * setting.ratio_ppm // PPM} %" if setting.ratio_ppm else "",
        _windows(up),
        _windows(down),
        _percents(overshoot_up, overshoot_down),
        _percents(step.volatility, season.volatility, noise.volatility),
        _percents(step.utilisation, season.utilisation, noise.utilisation),
        f"{step.reference_to_clearing:.2f}",
        _percents(fmean(row.sold / row.supply for row in slump)),
    ]


def _windows(settled: int) -> str:
    return str(settled) if settled < STEP.changes[1] - STEP.changes[0] else "never"


def _percents(*shares: float) -> str:
    return " / ".join(f"{100 * share:.{0 if share >= 0.1 else 1}f} %" for share in shares)


def label(controller: Controller) -> str:
    """The rule and the one parameter that distinguishes it from others of its kind."""
    match controller:
        case Vwap(windows=windows):
            return f"`vwap`, {windows} windows"
        case Ewma(half_life_windows=half_life):
            return f"`ewma`, half-life {half_life}"
        case Eip1559(target_ppm=target):
            return f"`eip1559`, target {100 * target // PPM} %"
        case Tatonnement():
            return "`tatonnement`"
        case Fixed():
            return "`fixed`"


def main() -> None:
    """Print the tables."""
    for title, settings in (("Without a floor", FLOORLESS), ("With a rolling reserve", FLOORED)):
        sys.stdout.write(f"{title}:\n\n{table(settings)}\n\n")


if __name__ == "__main__":
    main()
