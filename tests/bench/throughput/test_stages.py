"""Each stage alone does its whole work."""

from bench.harness.instrumented_flow import SHARD
from bench.report.runs import STAGES
from bench.throughput.drain import count_rows
from bench.throughput.stages import run_stages
from bench.throughput.verify import replay_digest, require_same, shard_digests
from flows.runtime.servers import Servers
from tests.bench.conftest import WORKLOAD, Bench


def test_the_stages_together_settle_the_log(bench: Bench, ledger: Servers) -> None:
    """A stage that leaves work out sets an upper bound that nothing can reach."""
    stages = run_stages(ledger, window_ms=WORKLOAD.window_ms, last_seq=bench.loaded.last_seq[SHARD])
    assert list(STAGES) == list(stages)
    assert min(min(stage.rate, stage.cpu_us) for stage in stages.values()) > 0
    assert WORKLOAD.bids == count_rows(ledger.postgres_dsn)["bid"]
    require_same(shard_digests(ledger)[SHARD], replayed=replay_digest(bench.testbed))
