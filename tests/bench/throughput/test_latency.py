"""A live run times every command, at the rate that was asked for."""

from bench.harness import testbed as testbeds  # pytest would collect a name that begins with Test
from bench.harness.instrumented_flow import SHARD
from bench.harness.testbed import open_testbed
from bench.report.runs import LatencyRun
from bench.throughput.drain import count_rows
from bench.throughput.latency import Latencies, measure_latency
from bench.throughput.verify import shard_digests
from bench.workload import Workload
from tests.support.servers import open_folder

LIVE = Workload(name="live", bids=600, agents=20, per_window=100, window_ms=100)


def test_every_command_is_timed() -> None:
    """The slowest commands are those that are most easily left out of a p99."""
    with open_folder() as folder, open_testbed(folder, window_ms=LIVE.window_ms) as testbed:
        runs = [run_once(testbed), run_once(testbed)]  # the second sees nothing of the first
    for run in runs:
        assert LIVE.bids == run.bids
        assert 0 < run.latency_ms_p50 <= run.latency_ms_p99 <= run.latency_ms_max
        assert run.rate <= 1100
        assert run.latency_ms_p99 / 100 == run.p99_windows


def run_once(testbed: testbeds.Testbed) -> LatencyRun:
    with testbed.log_and_ledger() as ledger:
        run = measure_latency(testbed, ledger, LIVE, rate=1000, warm_up_s=0)
        assert run.digest == shard_digests(ledger)[SHARD]
        assert LIVE.bids == count_rows(ledger.postgres_dsn)["bid"]
    return run


def test_time_runs_from_the_id_to_the_commit() -> None:
    """Time that is taken from the server's stamp hides the way to the server."""
    event_id = "0199a0b1-c2d3-7000-8000-000000000000"
    began_ms = 0x0199A0B1C2D3
    latencies = Latencies([((began_ms + 42) * 1_000_000, [event_id])])
    assert [42.0] == latencies.ms()


def test_the_warm_up_is_left_out() -> None:
    """A flow that starts beside the first bids would be reported as slow throughout."""
    began_ms = 0x0199A0B1C2D3
    first, later = (f"0199a0b1-c{ms:03x}-7000-8000-000000000000" for ms in (0x2D3, 0x2D3 + 1000))
    latencies = Latencies([((began_ms + 1500) * 1_000_000, [first, later])])
    assert [500.0] == latencies.ms(warm_up_s=1)
    assert [1500.0, 500.0] == latencies.ms()
