"""What a run came to, in tables for a person."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import Injected
from tests.chaos.schedule import KILLS, Kind
from tests.chaos.verdict import Report
from tests.chaos.watchers import Recovery

AIMS_S: Final = {Kind.WORKER_KILL: 3.0, Kind.BROKER_KILL: 2.0, Kind.DATABASE_KILL: 5.0}
WIDTH: Final = 100


def show(report: Report, console: Console | None = None) -> None:
    """Print all of it."""
    to = console or Console(width=WIDTH)
    to.print(_faults(report.run.injected))
    to.print(_recoveries(report.recoveries))
    to.print(_figures(report))
    to.print(_checks(report))


def percentile(values: Sequence[float], per_cent: int) -> float:
    """The smallest value that so many per cent are not above."""
    return sorted(values)[max(0, ceil(len(values) * per_cent / 100) - 1)]


def _faults(injected: Iterable[Injected]) -> Table:
    table = _table("Faults", "fault", "times")
    times = Counter(fault.kind for fault in injected)
    for kind in Kind:
        table.add_row(kind, f"{times[kind]}")
    table.add_section()
    table.add_row("kills", f"{sum(kills * times[kind] for kind, kills in KILLS.items())}")
    table.add_row("all", f"{times.total()}")
    return table


def _recoveries(recoveries: Sequence[Recovery]) -> Table:
    """Kills that came alone, beside the aim; then those that other faults were felt with."""
    table = _table(
        "From a kill to the commit of the window that was open",
        "",
        "kills",
        "p50",
        "p99",
        "max",
        "aim",
    )
    for kind, aim_s in AIMS_S.items():
        of_kind = [each for each in recoveries if each.kill.kind is kind]
        by_itself = [each.took_s for each in of_kind if each.alone]
        table.add_row(kind, *_spread(by_itself), f"{aim_s:.0f} s")
        table.add_row(
            "  while more was hurt", *_spread([r.took_s for r in of_kind if not r.alone]), ""
        )
    return table


def _spread(times_s: Sequence[float]) -> list[str]:
    if not times_s:
        return ["0", "", "", ""]
    shown = [percentile(times_s, 50), percentile(times_s, 99), max(times_s)]
    return [str(len(times_s)), *(f"{each:.2f} s" for each in shown)]


def _figures(report: Report) -> Table:
    run = report.run
    table = _table("In figures", "", "")
    lags = [lag_s for lag_s in run.lags_s if lag_s is not None]
    for name, value in {
        "messages sent": run.tally.sent,
        "messages acknowledged": run.tally.acknowledgements,
        "messages never acknowledged": run.tally.unknown,
        "messages in the log": len(report.evidence.log.seqs),
        "commands checked": report.commands,
        "windows": report.windows,
        "windows of markets checked": len(report.evidence.windows),
        "live results checked": len(run.heard),
        "reads of all balances": run.reader.reads,
        "starts of a worker": len(run.workers),
    }.items():
        table.add_row(name, f"{value:,}")
    table.add_row("quiet periods", str(len(run.lags_s)))
    table.add_row("longest until the lag was 0", f"{max(lags, default=0.0):.1f} s")
    return table


def _checks(report: Report) -> Table:
    table = _table("The checker", "", "promise", "of")
    for check in report.checks:
        table.add_row("✓" if check.holds else "✗", str(check), f"{check.of:,}")
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_header=any(headings),
    )
    for place, heading in enumerate(headings):
        words = place == 0 or heading == "promise"
        table.add_column(heading, justify="left" if words else "right")
    return table
