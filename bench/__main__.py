"""`python -m bench`: how fast the market clears on this machine, beside other designs of it.

Promise: tables go to stdout and progress to stderr; an error is reported in three parts and ends
with its exit code.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from bench.baselines.contract import Baseline
from bench.baselines.registry import available_baselines
from bench.presets import FULL, QUICK, VERSION_BEFORE, Preset
from bench.report.tables import machine_lines
from bench.report.writer import AnyReport, read, tables_of, update_document, write_report
from bench.run import Benchmark
from bench.throughput.scaling import LARGE, SMALL, Scaling
from flows.cli.console import print_data, print_error, print_status
from state.errors import SettingsError, WalrasError

INTERRUPTED: Final = 130
PLAIN_WIDTH: Final = 160
FOLDER: Final = Path(".walras/bench")
RESULTS: Final = Path("bench/results")

Folder = Annotated[
    Path, Parameter(help="Where the servers keep their files: on the disk that is measured.")
]
Into = Annotated[
    Path | None, Parameter(help="Folder for the results: JSON, a page with the tables, a plot.")
]
Docs = Annotated[
    Path | None, Parameter(help="Document whose figures, between its two marks, are replaced too.")
]
PathwayPython = Annotated[
    Path | None,
    Parameter(help="A Python that has `pathway` installed, to measure it as baseline (d)."),
]
VersionBefore = Annotated[
    str | None,
    Parameter(help="Commit of this repository that is measured as baseline (e); none if empty."),
]

app: Final = App(
    name="python -m bench",
    help="How fast the market clears on this machine, beside other designs of it.",
    version_flags=(),
)


@app.command
def quick(
    *,
    into: Into = None,
    folder: Folder = FOLDER,
    pathway_python: PathwayPython = None,
    version_before: VersionBefore = None,
) -> None:
    """Single bids and batches, each once, with stages, baselines and latency: about a minute."""
    baselines = available_baselines(pathway_python, version_before)
    _finish(_measured(QUICK, folder, baselines), into=into, docs=None)


@app.command
def full(
    *,
    into: Into = RESULTS,
    docs: Docs = None,
    folder: Folder = FOLDER,
    pathway_python: PathwayPython = None,
    version_before: VersionBefore = VERSION_BEFORE,
) -> None:
    """All workloads three times: about eight minutes, and one more with Pathway."""
    baselines = available_baselines(pathway_python, version_before)
    _finish(_measured(FULL, folder, baselines), into=into, docs=docs)


@app.command
def scaling(
    *,
    large: Annotated[
        bool, Parameter(help="A million agents, ten million bids: half an hour and 20 GB of disk.")
    ] = False,
    into: Into = RESULTS,
    docs: Docs = None,
    folder: Folder = FOLDER,
) -> None:
    """What a command costs as agents, windows, ledger and shards grow: some minutes."""
    plan = LARGE if large else SMALL
    for report in Scaling(plan=plan, folder=folder, on_progress=print_status).run():
        if into:
            write_report(report, into)
    _finish(report, into=into, docs=docs)


@app.command
def show(
    results: Annotated[Path, Parameter(help="A JSON file that a run has written.")],
    /,
    *,
    docs: Docs = None,
) -> None:
    """Print the tables of an earlier run, and make its page and plot again."""
    _finish(read(results), into=results.parent, docs=docs)


def run(words: Sequence[str]) -> int:
    """Run a command; errors go to stderr, and the exit code says of which kind."""
    try:
        app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as misread:
        return _fail(
            SettingsError(
                "the command line is invalid",
                detail=str(misread),
                hint="`python -m bench --help` lists the commands",
            )
        )
    except WalrasError as failure:
        return _fail(failure)
    except KeyboardInterrupt:
        print_status("\nstopped")
        return INTERRUPTED
    return 0


def _measured(preset: Preset, folder: Path, baselines: Sequence[Baseline]) -> AnyReport:
    return Benchmark(
        preset=preset, folder=folder, baselines=baselines, on_progress=print_status
    ).run()


def _finish(report: AnyReport, *, into: Path | None, docs: Path | None) -> None:
    """Write the results, then print them."""
    if into:
        for file in write_report(report, into):
            print_status(f"written: {file}")
        if docs:
            update_document(docs, report, into)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for line in machine_lines(report):
        print_data(line)
    for table in tables_of(report):
        console.print()
        console.print(table.rich())


def _fail(failure: WalrasError) -> int:
    print_error(failure)
    return failure.exit_code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
