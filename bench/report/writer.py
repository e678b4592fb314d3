"""Where the results of a benchmark are written: JSON, a page, a picture, and a document's figures.

Promise: all of it follows from the JSON, so that it can be made again from there; in a document
only what stands between the two marks is touched.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from bench.report.model import Report
from bench.report.plots import draw, draw_growth
from bench.report.tables import Table, growth_tables, machine_lines, tables
from bench.throughput.scaling import GrowthReport
from state.errors import SettingsError

AnyReport = Report | GrowthReport


def name_of(report: AnyReport) -> str:
    """The day of the run and its preset: what its files are called."""
    return f"{report.at[:10]}-{report.preset}"


def write_all(report: AnyReport, folder: Path) -> list[Path]:
    """The results in three files, named after their day."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, page, picture = (
        folder / f"{name_of(report)}{suffix}" for suffix in (".json", ".md", ".png")
    )
    as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    page.write_text(f"# Benchmark of {report.at[:10]}\n\n{figures(report, picture.name)}\n")
    if isinstance(report, Report):
        draw(report, picture)
    else:
        draw_growth(report, picture)
    return [as_json, page, picture]


def read(file: Path) -> AnyReport:
    """The results that a file holds."""
    try:
        content = file.read_bytes()
        if "series" in msgspec.json.decode(content):
            return msgspec.json.decode(content, type=GrowthReport)
        return msgspec.json.decode(content, type=Report)
    except (OSError, msgspec.DecodeError) as wrong:
        raise SettingsError(
            "the results cannot be read",
            detail=f"{file}: {wrong}",
            hint="Give a JSON file that a run of the benchmark has written",
        ) from wrong


def tables_of(report: AnyReport) -> Iterable[Table]:
    """The figures of either kind."""
    return tables(report) if isinstance(report, Report) else growth_tables(report)


def figures(report: AnyReport, picture: str) -> str:
    """The report in Markdown; `picture` is where its picture lies, as seen from the page."""
    parts = ["\n".join(machine_lines(report)), f"![The figures below, drawn]({picture})"]
    return "\n\n".join([*parts, *(table.markdown() for table in tables_of(report))]).rstrip()


def fill_in(document: Path, report: AnyReport, folder: Path) -> None:
    """Put the figures between the marks of a document that is to show them."""
    kind = "figures" if isinstance(report, Report) else "growth"
    begin, end = f"<!-- {kind}: begin -->", f"<!-- {kind}: end -->"
    text = document.read_text()
    if begin not in text or end not in text:
        raise SettingsError(
            "the document has no place for the figures",
            detail=f"{document} lacks {begin} or {end}",
            hint="Write both marks into it, each on a line of its own",
        )
    picture = folder / f"{name_of(report)}.png"
    told = figures(report, os.path.relpath(picture, document.parent))
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    document.write_text(marked.sub(lambda _: f"{begin}\n\n{told}\n\n{end}", text, count=1))
