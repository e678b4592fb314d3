"""The figures of a benchmark as plots: rates, costs, stages alone, baselines."""

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from textwrap import fill
from typing import Any, Final

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.report.model import (
    BaselineNote,
    Measured,
    Report,
    ScalingReport,
    Series,
    min_median_max,
)
from bench.report.runs import KINDS, STAGES

COLOURS: Final = {"broker": "#0072b2", "worker": "#e69f00", "database": "#009e73"}
OURS: Final = "#e69f00"
GREY: Final = "#9a9a9a"
THOUSAND: Final = 1000
MANY_TIMES: Final = 20
LEGEND_BESIDE: Final = 1.3
"""An axis so much longer than its longest bar has room for the legend."""
LABEL_BESIDE: Final = 3
"""The same for a figure beside a bar, on a logarithmic axis."""
LABEL_WIDTH: Final = 26
STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "x",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
}


def draw(report: Report, file: Path) -> None:
    """Draw a report into a PNG file."""
    compared = [measured for measured in report.measured if measured.compared]
    with mpl.rc_context(STYLE):
        figure, ((rates, costs), (stages, baselines)) = plt.subplots(
            2, 2, figsize=(12, 7.5), layout="constrained"
        )
        _rates(rates, report.measured)
        _costs(costs, report.measured)
        _stages(stages, compared[0])
        _baselines(baselines, compared[0], report.peers)
        figure.savefig(file, dpi=130, metadata={"Software": None})
        plt.close(figure)


def draw_scaling(report: ScalingReport, file: Path) -> None:
    """Draw what was made to grow into a PNG file: rates as lines, one plot per series."""
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(
            1,
            len(report.series),
            figsize=(3.6 * len(report.series), 3.6),
            squeeze=False,
            layout="constrained",
        )
        for axis, series in zip(axes[0], report.series, strict=True):
            _scaling(axis, series)
        figure.savefig(file, dpi=130, metadata={"Software": None})
        plt.close(figure)


def _scaling(axis: Axes, series: Series) -> None:
    """The rate, and beside it the worker's memory."""
    sizes = [point.size for point in series.points]
    rate = next(iter(series.points[0].figures))
    rates = [point.figures[rate] / THOUSAND for point in series.points]
    axis.plot(sizes, rates, marker="o", color=OURS)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(series.grows)
    axis.set_ylabel(f"thousand {rate}", color=OURS)
    axis.set_title(series.title, loc="left")
    if max(sizes) > MANY_TIMES * min(sizes):
        axis.set_xscale("log")
    memory = axis.twinx()
    memory.plot(
        sizes, [point.figures["worker, MiB"] for point in series.points], marker=".", color=GREY
    )
    memory.set_ylim(bottom=0)
    memory.set_ylabel("worker, MiB", color=GREY)


def _rates(axis: Axes, measured: Sequence[Measured]) -> None:
    names = [each.workload.name for each in measured]
    all_rates = [min_median_max(each.all(lambda run: run.drained.rate)) for each in measured]
    middles = [middle / THOUSAND for _, middle, _ in all_rates]
    below = [(middle - least) / THOUSAND for least, middle, _ in all_rates]
    above = [(most - middle) / THOUSAND for _, middle, most in all_rates]
    axis.barh(names, middles, xerr=[below, above], color=OURS, ecolor="#444444")
    axis.set_title("Commands per second, in thousands", loc="left")
    axis.invert_yaxis()


def _costs(axis: Axes, measured: Sequence[Measured]) -> None:
    names = [each.workload.name for each in measured]
    left = [0.0] * len(names)
    for kind in KINDS:
        costs = [each.cpu_us(kind) for each in measured]
        axis.barh(names, costs, left=left, color=COLOURS[kind], label=kind)
        left = [before + cost for before, cost in zip(left, costs, strict=True)]
    axis.set_title("Processor microseconds per command", loc="left")
    axis.set_xlim(right=LEGEND_BESIDE * max(left))
    axis.legend(frameon=False, loc="upper right")
    axis.invert_yaxis()


def _stages(axis: Axes, measured: Measured) -> None:
    shown = [stage for stage in measured.stages if stage != "cut_windows"]
    names = [STAGES[stage] for stage in shown]
    alone = [median(measured.stage(stage)) / THOUSAND for stage in shown]
    whole = measured.median(lambda run: run.drained.rate) / THOUSAND
    colours = [GREY] * len(shown) + [OURS]
    axis.barh([*names, "the whole flow"], [*alone, whole], color=colours)
    axis.set_title(f"Thousand commands per second, alone: {measured.workload.name}", loc="left")
    axis.invert_yaxis()


def _baselines(axis: Axes, measured: Measured, notes: Sequence[BaselineNote]) -> None:
    names = [*map(_short, notes), "Walras"]
    theirs = [median(measured.baseline(note.key)) for note in notes]
    ours = measured.median(lambda run: run.drained.rate)
    colours = [GREY] * len(notes) + [OURS]
    bars = axis.barh(names, [*theirs, ours], color=colours)
    axis.bar_label(bars, fmt="{:,.0f}", padding=3)
    axis.set_xscale("log")
    axis.set_xlim(left=10, right=LABEL_BESIDE * max(*theirs, ours))
    axis.set_title(f"Bids per second, on a log scale: {measured.workload.name}", loc="left")
    axis.invert_yaxis()


def _short(note: BaselineNote) -> str:
    """The key of a baseline, and what it is in a few words."""
    return fill(f"({note.key}) {re.split('[,:]', note.what)[0]}", LABEL_WIDTH)
