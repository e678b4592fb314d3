"""Each stage alone does its whole work."""

from bench.harness.instrumented_flow import SHARD
from bench.report.runs import STAGES
from bench.throughput.drain import count_rows
from bench.throughput.stages import StageClocks, run_stages
from bench.throughput.verify import replay_digest, require_same, shard_digests
from flows.runtime.servers import Servers
from tests.bench.conftest import WORKLOAD, Bench


def test_the_stages_together_settle_the_log(bench: Bench, ledger: Servers) -> None:
    """A stage that leaves work out sets an upper bound that nothing can reach."""
    stages = run_stages(ledger, window_ms=WORKLOAD.window_ms, last_seq=bench.loaded.last_seq[SHARD])
    assert [stage for stage in STAGES if stage != "allocate"] == list(stages)
    assert min(min(stage.rate, stage.cpu_us) for stage in stages.values()) > 0
    assert WORKLOAD.bids == count_rows(ledger.postgres_dsn)["bid"]
    require_same(shard_digests(ledger)[SHARD], replayed=replay_digest(bench.testbed))


def test_a_part_is_taken_out_of_its_stage() -> None:
    """Time that is counted in two stages makes their sum more than the whole."""
    clocks = StageClocks({"settle": (1.0, 0.5), "judge": (3.0, 2.0)})
    clocks.take_out("settle", of="judge")
    assert [("judge", (2.0, 1.5)), ("settle", (1.0, 0.5))] == list(clocks.seconds.items())


def test_a_stage_within_another_is_timed_whenever_it_is_called() -> None:
    """Windows after the first one would count as judging."""
    clocks = StageClocks()
    twice = clocks.within("settle", lambda value: value * 2)
    assert [2, 4] == [twice(1), twice(2)]
    first_s, _ = clocks.seconds["settle"]
    twice(3)
    assert clocks.seconds["settle"][0] > first_s > 0
