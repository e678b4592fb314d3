"""A whole benchmark, as small as it can be: what is to be measured is measured, and shown."""

import pytest

from bench.baselines.registry import BASELINES
from bench.presets import FULL, HUNDRED, SINGLE, LatencyPlan, Preset
from bench.report.model import Report
from bench.report.tables import tables
from bench.run import Benchmark
from bench.workload import Workload
from tests.support.servers import open_folder

TINY = Preset(
    name="tiny",
    runs=1,
    compared=(Workload(name=SINGLE, bids=200, agents=20, per_window=100, window_ms=300),),
    others=(
        Workload(
            name="disturbed",
            bids=200,
            agents=20,
            per_window=100,
            window_ms=300,
            withdrawals=10,
            hostile=10,
        ),
    ),
    latency=(LatencyPlan(window_ms=100, seconds=3, share=0.02),),
    baseline_bids_max=100,
)


def run_tiny() -> Report:
    with open_folder() as folder:
        return Benchmark(
            preset=TINY, folder=folder, baselines=BASELINES[1:2], on_progress=lambda _: None
        ).run()


@pytest.mark.timeout(300)
def test_every_part_of_a_preset_is_measured_and_shown() -> None:
    """A part that fails only in the full run is found after minutes, on somebody's machine."""
    report = run_tiny()
    compared, disturbed = report.measured
    (usual,), (among,) = compared.repetitions, disturbed.repetitions
    assert (["b"], 200) == (list(usual.peers), usual.drained.commands)
    assert usual.undisturbed is None
    assert among.undisturbed is not None
    assert (200, {}) == (among.undisturbed.commands, among.peers)
    assert among.drained.commands >= 240
    (live,) = report.paced
    assert [live.workload.bids] == [run.heard for run in live.runs]
    titles = [table.title for table in tables(report)]
    assert "The same bids, without and with something among them" in titles
    assert "From publish to the result that the agent hears" in titles


def test_the_full_run_has_what_it_is_asked_for() -> None:
    """What is left out of a benchmark is left out because it looked bad, a reader must think."""
    assert FULL.runs >= 3
    assert [SINGLE, HUNDRED] == [each.name for each in FULL.compared]
    live = {(plan.window_ms, plan.per_message, plan.share) for plan in FULL.latency}
    assert {(100, 1, 0.5), (1_000, 1, 0.5)} <= live
    assert [
        (True, 0, 0, 0),
        (False, 1_000, 0, 0),
        (False, 0, 200, 0),
        (False, 0, 0, 5_000),
    ] == [(each.bundles, each.withdrawals, each.hostile, each.metered) for each in FULL.others]
