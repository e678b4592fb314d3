"""The figures of a benchmark as tables, for a terminal and for documents.

Promise: both show the same cells; a figure is a median, followed by the least and the most where
they fit.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from rich.table import Table as RichTable

from bench.report.model import (
    LatencyRuns,
    Measured,
    Report,
    ScalingReport,
    min_median_max,
)
from bench.report.runs import KINDS, MICROS_PER_S, STAGES

MANY: Final = 100


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a head and rows of text; the first column is a name, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """For a document."""
        rule = ["---", *["---:"] * (len(self.head) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.head, rule, *self.rows)]
        return "\n".join([f"### {self.title}", "", *lines, ""])

    def rich(self) -> RichTable:
        """For a terminal."""
        table = RichTable(title=self.title, title_justify="left")
        table.add_column(self.head[0])
        for name in self.head[1:]:
            table.add_column(name, justify="right")
        for row in self.rows:
            table.add_row(*row)
        return table


def tables(report: Report) -> Iterator[Table]:
    """All figures of a report."""
    compared = [measured for measured in report.measured if measured.compared]
    yield _rates(report.measured)
    yield _costs(report.measured)
    if disturbed := [measured for measured in report.measured if measured.is_disturbed]:
        yield _disturbed(disturbed)
    if report.paced:
        yield _latencies(report.paced)
    if any(run.heard for paced in report.paced for run in paced.runs):
        yield _heard(report.paced)
    for measured in compared:
        yield _stages(measured)
    names = {note.key: note.what for note in report.peers}
    for measured in compared:
        yield _baselines(measured, names)
        yield from _baseline_costs(measured, names)
    yield Table(
        "What the baselines do not guarantee",
        ["baseline", "what is missing"],
        [[f"({note.key})", note.does_not_guarantee] for note in report.peers],
    )


def scaling_tables(report: ScalingReport) -> Iterator[Table]:
    """One table for each thing that was made to grow."""
    for series in report.series:
        names = list(series.points[0].figures)
        rows = [
            [f"{point.size:,}", *(_figure(point.figures[name]) for name in names)]
            for point in series.points
        ]
        yield Table(series.title, [series.grows, *names], rows)


def machine_lines(report: Report | ScalingReport) -> Iterator[str]:
    """Where and with what the figures were taken."""
    machine = report.machine
    yield f"Preset `{report.preset}`, begun {report.at}, {report.seconds:.0f} s in all."
    yield f"- {machine.processors} processors: {machine.processor}"
    yield f"- {machine.memory_gib} GiB of memory, {machine.system}"
    yield f"- {machine.filesystem}, {machine.fsync_ms} ms to write a page and sync it"
    yield f"- load before the run: {machine.load_before}"
    packages = ", ".join(f"{name} {found}" for name, found in machine.packages.items())
    yield f"- Python {machine.python}, {packages}"
    yield f"- commit {machine.commit}"


def _rates(measured: Iterable[Measured]) -> Table:
    sizes = ["bids", "per message", "agents", "bids per window", "window", "lost"]
    head = ["workload", *sizes, "commands/s", "rows"]
    return Table("Commands per second, end to end", head, [_rate_row(each) for each in measured])


def _rate_row(measured: Measured) -> list[str]:
    workload, drained = measured.workload, measured.repetitions[0].drained
    return [
        workload.name,
        f"{workload.bids:,}",
        f"{workload.per_message:,}",
        f"{workload.agents:,}",
        f"{workload.per_window:,}",
        f"{workload.window_ms:,} ms",
        f"{drained.lost_share:.0%}",
        _with_range(measured.all(lambda repetition: repetition.drained.rate)),
        f"{sum(drained.rows.values()):,}",
    ]


def _costs(measured: Iterable[Measured]) -> Table:
    head = [
        "workload",
        *[f"{kind}, µs/command" for kind in KINDS],
        *[f"{kind}, MiB" for kind in KINDS],
        "commit p50",
        "commit p99",
    ]
    return Table("What a command costs", head, [_cost_row(each) for each in measured])


def _cost_row(measured: Measured) -> list[str]:
    return [
        measured.workload.name,
        *[f"{measured.cpu_us(kind):.1f}" for kind in KINDS],
        *[f"{measured.peak_mib(kind):,.0f}" for kind in KINDS],
        f"{measured.median(lambda repetition: repetition.drained.commit_ms_p50):,.0f} ms",
        f"{measured.median(lambda repetition: repetition.drained.commit_ms_p99):,.0f} ms",
    ]


def _latencies(paced: Iterable[LatencyRuns]) -> Table:
    head = ["live", "bids/s", "p50", "p99", "p99 in windows", "max", *[f"{k} busy" for k in KINDS]]
    return Table("From publish to commit", head, [_latency_row(each) for each in paced])


def _latency_row(paced: LatencyRuns) -> list[str]:
    return [
        paced.workload.name,
        f"{paced.median(lambda run: run.rate):,.0f}",
        f"{paced.median(lambda run: run.latency_ms_p50):,.0f} ms",
        f"{paced.median(lambda run: run.latency_ms_p99):,.0f} ms",
        f"{paced.median(lambda run: run.p99_windows):.2f}",
        f"{paced.median(lambda run: run.latency_ms_max):,.0f} ms",
        *[f"{paced.busy(kind):.0%}" for kind in KINDS],
    ]


def _disturbed(measured: Iterable[Measured]) -> Table:
    head = ["workload", "among them, per window", "without, bids/s", "with, bids/s", "ratio"]
    rows = [_disturbed_row(each) for each in measured]
    return Table("The same bids, without and with something among them", head, rows)


def _disturbed_row(measured: Measured) -> list[str]:
    workload = measured.workload
    among = {
        "withdrawals": workload.withdrawals,
        "hostile messages": workload.hostile,
        "events of a meter": workload.metered,
    }
    return [
        workload.name,
        ", ".join(f"{count:,} {what}" for what, count in among.items() if count),
        _with_range(measured.bid_rates(lambda repetition: repetition.undisturbed)),
        _with_range(measured.bid_rates(lambda repetition: repetition.drained)),
        f"{measured.median(lambda repetition: repetition.kept_share):.2f}",
    ]


def _heard(paced: Iterable[LatencyRuns]) -> Table:
    head = ["live", "p50", "p99", "heard"]
    return Table(
        "From publish to the result that the agent hears", head, list(map(_heard_row, paced))
    )


def _heard_row(paced: LatencyRuns) -> list[str]:
    sent = paced.workload.bids * len(paced.runs)
    return [
        paced.workload.name,
        f"{paced.median(lambda run: run.heard_ms_p50):,.0f} ms",
        f"{paced.median(lambda run: run.heard_ms_p99):,.0f} ms",
        f"{sum(run.heard for run in paced.runs) / sent:.1%}",
    ]


def _stages(measured: Measured) -> Table:
    rows = [
        [STAGES[stage], _with_range(measured.stage(stage)), f"{measured.stage_us(stage):.1f}"]
        for stage in measured.stages
    ]
    in_turn_us = measured.median(lambda repetition: repetition.worker_us)
    whole = _with_range(measured.all(lambda repetition: repetition.drained.rate))
    share = measured.median(lambda repetition: repetition.whole_to_slowest)
    rows += [
        ["all of them on one processor", f"{MICROS_PER_S / in_turn_us:,.0f}", f"{in_turn_us:.1f}"],
        ["the whole flow", whole, f"{measured.cpu_us('worker'):.1f}"],
        ["the whole flow, of its slowest stage", f"{share:.0%}", ""],
    ]
    head = ["stage", "commands/s", "worker, µs/command"]
    return Table(f"Each stage alone: {measured.workload.name}", head, rows)


def _baselines(measured: Measured, names: Mapping[str, str]) -> Table:
    ours = _with_range(measured.all(lambda repetition: repetition.drained.rate))
    rows = [["Walras", "one worker", ours, ""]]
    rows += [_baseline_row(measured, key, what) for key, what in names.items()]
    head = ["", "design", "bids/s", "Walras is faster"]
    return Table(f"Compared with the baselines: {measured.workload.name}", head, rows)


def _baseline_costs(measured: Measured, names: Mapping[str, str]) -> Iterator[Table]:
    """What a bid costs, where a baseline counts that too; all commands of a drain are bids."""
    counted = [key for key in names if measured.repetitions[0].peers[key].cpu_us]
    if counted:
        head = ["", "design", *[f"{kind}, µs/bid" for kind in KINDS], "all", "Walras takes of it"]
        rows = [["Walras", "one worker", *_cpu_cells(measured.cpu_us), ""]]
        for key in counted:
            costs = _cpu_cells(partial(measured.baseline_us, key))
            rows.append([f"({key})", names[key], *costs, f"{measured.cost_ratio(key):.2f}"])
        yield Table(f"What a bid costs: {measured.workload.name}", head, rows)


def _baseline_row(measured: Measured, key: str, what: str) -> list[str]:
    dropped = sum(repetition.peers[key].dropped for repetition in measured.beside(key))
    return [
        f"({key})",
        f"{what}; {dropped:,} bids dropped" if dropped else what,
        _with_range(measured.baseline(key)),
        f"{measured.times_faster(key):,.1f} times",
    ]


def _cpu_cells(cost_us: Callable[[str], float]) -> list[str]:
    """Of each kind of process, and of all."""
    costs = [cost_us(kind) for kind in KINDS]
    return [f"{cost:.1f}" for cost in [*costs, sum(costs)]]


def _figure(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < MANY else f"{value:,.0f}"


def _with_range(values: Iterable[float]) -> str:
    """The median, with the least and the most where there is more than one."""
    least, middle, most = min_median_max(values)
    return f"{middle:,.0f}" if least == most else f"{middle:,.0f} ({least:,.0f} to {most:,.0f})"
