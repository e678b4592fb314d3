"""The pictures of docs/pricing.md: reference prices in the simulated markets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.pricing.demand import (
    FORGOTTEN,
    HOUR,
    SLUMP,
    THREE,
    WRONG,
    Scenario,
    demand_step,
    noise,
    season,
    several,
    wrong_start,
)
from bench.pricing.simulation import Run, Setting, simulate
from operators.pricing_rules import Eip1559, Ewma, Tatonnement, Vwap
from state.market import PPM

MICROS_PER_THOUSAND: Final = 1000
PRICE: Final = "reference price,\n1000 micros per unit"
BALANCE: Final[Mapping[str, Any]] = {
    "color": "#9a9a9a",
    "linewidth": 0.9,
    "label": "market-clearing price",
}
TATONNEMENT: Final[Mapping[str, Any]] = {"color": "#0072b2", "linewidth": 1.6}
VWAP: Final[Mapping[str, Any]] = {"color": "#e69f00", "linewidth": 1.4}
EWMA: Final[Mapping[str, Any]] = {"color": "#cc79a7", "linewidth": 1.4}
EIP1559: Final[Mapping[str, Any]] = {"color": "#009e73", "linewidth": 1.4}
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
}

Lines = Mapping[str, tuple[Setting, Mapping[str, Any]]]
"""By its name in the legend: what a line shows, and how it is drawn."""

ON_THE_MOVE: Final[Lines] = {
    "tatonnement": (Setting(Tatonnement()), TATONNEMENT),
    "vwap, 20 windows": (Setting(Vwap()), VWAP),
    "ewma, half-life 5": (Setting(Ewma()), EWMA),
}
FLOORED: Final[Lines] = {
    "tatonnement, floor 80 %": (Setting(Tatonnement(), PPM * 4 // 5), TATONNEMENT),
    "vwap, floor 80 %": (Setting(Vwap(), PPM * 4 // 5), VWAP),
    "ewma, floor 80 %": (Setting(Ewma(), PPM * 4 // 5), {**EWMA, "linestyle": (0, (4, 2))}),
    "eip1559, floor 100 %": (Setting(Eip1559(), PPM), EIP1559),
}


def draw(folder: Path) -> None:
    """Draw all pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, picture in (
            ("wrong_start", draw_start),
            ("moving_prices", draw_moving),
            ("slump", draw_slump),
            ("forgotten", draw_forgotten),
        ):
            figure = picture()
            figure.savefig(folder / f"{name}.png", dpi=130, metadata={"Software": None})
            plt.close(figure)


def draw_start() -> Figure:
    """How three resources find their prices from a start that is wrong by a factor of 100."""
    high, low = wrong_start(0.0, WRONG), wrong_start(0.0, 1 / WRONG)
    before_vwap, before_eip = (Setting(rule, before=True) for rule in (Vwap(), Eip1559()))
    dashed: Mapping[str, Any] = {"linestyle": (0, (4, 2))}
    lines: Sequence[tuple[str, Scenario, Setting, Mapping[str, Any]]] = (
        ("before: one level, eip1559, from 100 times", high, before_eip, EIP1559),
        ("before: one level, eip1559, from 1/100", low, before_eip, {**EIP1559, **dashed}),
        ("before: one level, vwap, from 100 times", high, before_vwap, VWAP),
        ("tatonnement, from 100 times", high, Setting(Tatonnement()), TATONNEMENT),
        ("tatonnement, from 1/100", low, Setting(Tatonnement()), {**TATONNEMENT, **dashed}),
    )
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.6), sharey=True, layout="constrained")
    titles = {
        "scarce": "scarce: asked for 1.5 times",
        "even": "even: asked for 1.0 times",
        "idle": "idle: asked for 0.6 times",
    }
    for axis, resource in zip(axes, THREE, strict=True):
        for label, scenario, setting, style in lines:
            _line(axis, simulate(scenario, setting).prices(resource)[:80], label, style)
        axis.plot(_thousands(simulate(high, lines[0][2]).balanced(resource)[:80]), **BALANCE)
        axis.set_yscale("log")
        axis.set_title(titles[resource], loc="left", fontsize=10)
        axis.set_xlabel("window")
    axes[0].set_ylabel(PRICE)
    _legend(figure, axes[0], columns=3)
    return figure


def draw_moving() -> Figure:
    """The scarce of three resources, in which a tenth of the requests is bundled."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
    moving = {
        "step: twice as much is asked from 150 to 300": demand_step(0.1),
        "season: valuations swing by half": several(season, 0.1),
        "noise: valuations jump by 30 %": several(noise, 0.1),
    }
    for axis, (title, scenario) in zip(axes, moving.items(), strict=True):
        _compare(axis, scenario, "scarce", ON_THE_MOVE)
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("window")
        axis.set_ylim(0, 210)
    axes[0].set_ylabel(PRICE)
    _legend(figure, axes[0], columns=4)
    return figure


def draw_slump() -> Figure:
    """Why a floor needs a pricing rule that does not wait for sales."""
    figure, (prices, sold) = plt.subplots(
        2, 1, figsize=(8, 5.6), sharex=True, layout="constrained", height_ratios=(3, 2)
    )
    runs = _compare(prices, SLUMP, "r", FLOORED)
    for run, (_setting, style) in zip(runs, FLOORED.values(), strict=True):
        sold.plot([100 * row.sold / row.supply for row in run.rows["r"]], **style)
    prices.set_ylim(0, 130)
    prices.set_ylabel(PRICE)
    prices.set_title(
        "A slump under a rolling reserve: valuations halve at window 150", loc="left", fontsize=10
    )
    sold.set_ylabel("sold, % of supply")
    sold.set_xlabel("window")
    _legend(figure, prices, columns=3)
    return figure


def draw_forgotten() -> Figure:
    """A resource that nobody wants for an hour and then everybody."""
    figure, (before, after) = plt.subplots(
        1, 2, figsize=(10, 4), sharey=True, layout="constrained", width_ratios=(1, 1)
    )
    lines = {
        "tatonnement": (Setting(Tatonnement()), TATONNEMENT),
        "vwap, 20 windows": (Setting(Vwap()), VWAP),
        "eip1559, floor 50 %": (Setting(Eip1559(), PPM // 2), EIP1559),
    }
    left, back = FORGOTTEN.changes
    for axis in (before, after):
        _compare(axis, FORGOTTEN, "forgotten", lines)
        axis.set_yscale("log")
        axis.set_xlabel("window")
    before.set_xlim(0, left + 80)
    after.set_xlim(back - 20, back + 120)
    before.set_title(f"nobody bids from window {left} on", loc="left", fontsize=10)
    after.set_title(f"{HOUR} windows later everybody does", loc="left", fontsize=10)
    before.set_ylabel(PRICE)
    _legend(figure, before, columns=4)
    return figure


def _compare(axis: Axes, scenario: Scenario, resource: str, lines: Lines) -> Sequence[Run]:
    """Draw the market-clearing price, and what each setting quotes for it."""
    runs = [simulate(scenario, setting) for setting, _style in lines.values()]
    axis.plot(_thousands(runs[0].balanced(resource)), **BALANCE)
    for run, (label, (_setting, style)) in zip(runs, lines.items(), strict=True):
        _line(axis, run.prices(resource), label, style)
    return runs


def _line(axis: Axes, prices: Sequence[int], label: str, style: Mapping[str, Any]) -> None:
    axis.plot(_thousands(prices), label=label, **style)


def _legend(figure: Figure, axis: Axes, *, columns: int) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def _thousands(micros: Sequence[float]) -> list[float]:
    return [each / MICROS_PER_THOUSAND for each in micros]
