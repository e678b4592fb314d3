"""Where the results of a benchmark are written: JSON, a page, a plot, and a document's figures.

Promise: all of it follows from the JSON, so that it can be made again from there; in a document
only what is between the two marks is replaced.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.report.model import Report, ScalingReport
from bench.report.plots import draw, draw_scaling
from bench.report.tables import Table, machine_lines, scaling_tables, tables
from state.errors import SettingsError

AnyReport = Report | ScalingReport


def name_of(report: AnyReport) -> str:
    """The day of the run and its preset: what its files are called."""
    return f"{report.at[:10]}-{report.preset}"


def write_report(report: AnyReport, folder: Path) -> list[Path]:
    """The results in three files, named after their day."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, page, plot = (
        folder / f"{name_of(report)}{suffix}" for suffix in (".json", ".md", ".png")
    )
    as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    page.write_text(page_of(report, plot=plot.name))
    if isinstance(report, Report):
        draw(report, plot)
    else:
        draw_scaling(report, plot)
    return [as_json, page, plot]


def page_of(report: AnyReport, *, plot: str) -> str:
    """The page of a report; `plot` is where its plot lies, as seen from the page."""
    return f"# Benchmark of {report.at[:10]}\n\n{figures(report, plot=plot)}\n"


def read(file: Path) -> AnyReport:
    """The results that a file holds."""
    try:
        content = file.read_bytes()
        if "series" in msgspec.json.decode(content):
            return msgspec.json.decode(content, type=ScalingReport)
        return msgspec.json.decode(content, type=Report)
    except (OSError, msgspec.DecodeError) as wrong:
        raise SettingsError(
            "the results cannot be read",
            detail=f"{file}: {wrong}",
            hint="Give a JSON file that a run of the benchmark has written",
        ) from wrong


def tables_of(report: AnyReport) -> Iterable[Table]:
    """The figures of either kind."""
    return tables(report) if isinstance(report, Report) else scaling_tables(report)


def figures(report: AnyReport, *, plot: str) -> str:
    """The report in Markdown; `plot` is where its plot lies, as seen from the page."""
    parts = ["\n".join(machine_lines(report)), f"![The figures below, drawn]({plot})"]
    return "\n\n".join([*parts, *(table.markdown() for table in tables_of(report))]).rstrip()


def update_document(document: Path, report: AnyReport, folder: Path) -> None:
    """Replace the figures between the marks of a document."""
    kind = "figures" if isinstance(report, Report) else "scaling"
    begin, end = f"<!-- {kind}: begin -->", f"<!-- {kind}: end -->"
    text = document.read_text()
    if begin not in text or end not in text:
        raise SettingsError(
            "the document has no place for the figures",
            detail=f"{document} lacks {begin} or {end}",
            hint="Write both marks into it, each on a line of its own",
        )
    plot = folder / f"{name_of(report)}.png"
    filled = figures(report, plot=os.path.relpath(plot, document.parent))
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    document.write_text(marked.sub(lambda _: f"{begin}\n\n{filled}\n\n{end}", text, count=1))
