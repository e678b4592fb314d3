"""The plots of docs/pricing.md: the pricing rules of `bench.pricing.simulation` compared.

python -m bench.pricing.plots docs/img
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.pricing.simulation import NOISE, SEASON, SLUMP, STEP, Run, Scenario, Setting, simulate
from operators.pricing_rules import Eip1559, Ewma, Vwap
from state.market import PPM

SCENARIOS: Final = (
    (STEP, "step: the valuation doubles, then falls back"),
    (SEASON, "season"),
    (NOISE, "noise"),
)
FLOORLESS: Final = {
    "vwap, 20 windows": Setting(Vwap()),
    "ewma, half-life 5": Setting(Ewma()),
    "eip1559, target 80 %": Setting(Eip1559()),
}
FLOORED: Final = {
    "vwap, 20 windows": Setting(Vwap(), 800_000),
    "ewma, half-life 5": Setting(Ewma(), 800_000),
    "eip1559, target 80 %": Setting(Eip1559(), PPM),
}
COLOURS: Final = ("#0072b2", "#e69f00", "#009e73")
DASHES: Final = ("-", (0, (4, 1.5)), "-")
WIDTHS: Final = (2.6, 1.3, 1.3)
"""The first is often under the second, and has to be seen on both sides of it."""
BALANCE: Final = "#9a9a9a"
THOUSAND: Final = 1000
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.3,
}


def main(folder: Path) -> None:
    """Draw both plots into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        draw_scenarios(folder / "controllers.png")
        draw_slump(folder / "slump.png")


def draw_scenarios(file: Path) -> None:
    """Reference prices in three scenarios, without a floor and with one."""
    figure, axes = plt.subplots(2, 3, figsize=(12, 6.2), sharex="col", layout="constrained")
    for row, settings in zip(axes, (FLOORLESS, FLOORED), strict=True):
        for axis, (scenario, _title) in zip(row, SCENARIOS, strict=True):
            _prices(axis, scenario, settings)
            axis.set_ylim(0, 280)
    for top, bottom, (_scenario, title) in zip(*axes, SCENARIOS, strict=True):
        top.set_title(title, loc="left")
        bottom.set_xlabel("window")
    axes[0][0].set_ylabel("no floor\n\nreference price,\n1000 micros per unit")
    axes[1][0].set_ylabel(
        "floor at 80 % of the price,\neip1559 at 100 %\n\nreference price,\n1000 micros per unit"
    )
    axes[0][0].annotate(
        "without a floor\neip1559 rises without end",
        xy=(64, 262),
        xytext=(120, 225),
        color=COLOURS[2],
        arrowprops={"arrowstyle": "->", "color": COLOURS[2]},
    )
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(file, dpi=130, metadata={"Software": None})
    plt.close(figure)


def draw_slump(file: Path) -> None:
    """Why a floor needs a pricing rule that follows utilisation."""
    figure, (prices, sold) = plt.subplots(
        2, 1, figsize=(8, 5), sharex=True, layout="constrained", height_ratios=(3, 2)
    )
    runs = _prices(prices, SLUMP, FLOORED)
    for run, style in zip(runs.values(), _styles(), strict=True):
        sold.plot([100 * row.sold / row.supply for row in run.rows], **style)
    prices.set_ylim(0, 130)
    prices.set_ylabel("reference price,\n1000 micros per unit")
    prices.set_title(
        "A slump under a rolling reserve: no bidder reaches the old floor", loc="left", fontsize=10
    )
    prices.legend(frameon=False, loc="lower left")
    sold.set_ylabel("sold, % of supply")
    sold.set_xlabel("window")
    figure.savefig(file, dpi=130, metadata={"Software": None})
    plt.close(figure)


def _prices(axis: Axes, scenario: Scenario, settings: Mapping[str, Setting]) -> Mapping[str, Run]:
    """Draw the price that would balance the market, and what each setting quotes for it."""
    runs = {name: simulate(scenario, setting) for name, setting in settings.items()}
    balanced = next(iter(runs.values())).balanced_micros
    axis.plot(
        _thousands(balanced),
        color=BALANCE,
        linewidth=0.8,
        label="market-clearing price",
    )
    for (name, run), style in zip(runs.items(), _styles(), strict=True):
        axis.plot(_thousands(run.prices), **style, label=name)
    return runs


def _styles() -> Iterator[dict[str, Any]]:
    """One style of line for each setting."""
    for colour, dashes, width in zip(COLOURS, DASHES, WIDTHS, strict=True):
        yield {"color": colour, "linestyle": dashes, "linewidth": width}


def _thousands(micros: Sequence[float]) -> list[float]:
    return [each / THOUSAND for each in micros]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
