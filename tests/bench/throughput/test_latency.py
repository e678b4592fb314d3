"""A live run times every command, at the rate that was asked for."""

import numpy as np

from bench.harness import testbed as testbeds  # pytest would collect a name that begins with Test
from bench.harness.instrumented_flow import SHARD
from bench.harness.testbed import open_testbed
from bench.report.runs import LatencyRun
from bench.throughput.drain import count_rows
from bench.throughput.hearing import Heard, Hearing
from bench.throughput.latency import Latencies, measure_latency
from bench.throughput.verify import shard_digests
from bench.workload import Workload
from state.bids import UUID_BYTES, Bytes, event_id_text
from tests.support.servers import open_folder

NS_PER_MS = 1_000_000
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
        assert LIVE.bids == run.heard
        assert run.latency_ms_p50 < run.heard_ms_p50 <= run.heard_ms_p99


def run_once(testbed: testbeds.Testbed) -> LatencyRun:
    with testbed.log_and_ledger() as ledger:
        run = measure_latency(testbed, ledger, LIVE, rate=1000, warm_up_s=0)
        assert run.digest == shard_digests(ledger)[SHARD]
        assert LIVE.bids == count_rows(ledger.postgres_dsn)["bid"]
    return run


def test_time_runs_from_the_id_to_the_commit() -> None:
    """Time that is taken from the server's stamp hides the way to the server."""
    began_ms = 0x0199A0B1C2D3
    latencies = Latencies([((began_ms + 42) * NS_PER_MS, ids_made_at(began_ms))])
    assert [42.0] == latencies.ms()


def test_the_warm_up_is_left_out() -> None:
    """A flow that starts beside the first bids would be reported as slow throughout."""
    began_ms = 0x0199A0B1C2D3
    ids = ids_made_at(began_ms, began_ms + 1000)
    latencies = Latencies([((began_ms + 1500) * NS_PER_MS, ids)])
    assert [500.0] == latencies.ms(warm_up_s=1)
    assert [1500.0, 500.0] == latencies.ms()


def test_each_outcome_is_heard_when_its_result_comes() -> None:
    """An agent with many bids in a window has one result, which would count as one bid."""
    made_ms = 0x0199A0B1C2D3
    ids = [event_id_text(each.tobytes()) for each in ids_made_at(made_ms, made_ms + 2)]
    outcomes = ",".join(f'{{"event_id":"{each}","status":"lost"}}' for each in ids)
    hearing = Hearing([((made_ms + 12) * NS_PER_MS, f'{{"outcomes":[{outcomes}]}}'.encode())])
    assert Heard(outcomes=2, ms_p50=11.0, ms_p99=11.98) == hearing.heard(warm_up_s=0)


def test_silence_is_reported_as_nothing_heard() -> None:
    """Results leave once at most: a run in which none arrives must end with its other figures."""
    assert Heard(outcomes=0) == Hearing().heard(warm_up_s=0)


def ids_made_at(*times_ms: int) -> Bytes:
    ids = b"".join(time_ms.to_bytes(6) + bytes(10) for time_ms in times_ms)
    return np.frombuffer(ids, np.uint8).reshape(-1, UUID_BYTES)
