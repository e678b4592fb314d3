"""The way into the flow: every message once, in order, or an error that says why not."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, cluster_main

from connectors.embedded.nats_server import start_nats
from connectors.nats import read_ahead, reader, source, subjects
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.source import NatsSource, Prefetcher
from connectors.nats.subjects import PublicSubjects
from connectors.nats.topology import identity
from state.errors import LogGap, LogReplaced, ServerUnreachable
from state.log import RawBatch
from state.shard import StreamIdentity
from tests.support.eventually import eventually
from tests.support.nats_logs import (
    drained,
    fill,
    fill_shard,
    last_seq,
    make_frail_stream,
    make_streams,
    next_batches,
    opened,
    payloads_of,
    source_of,
    taken,
)
from tests.support.servers import SHARDS
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask, nanos
from walras_client.nats.reader import StreamReader


def numbered(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last + 1)]


def assert_contiguous(batches: list[RawBatch], *, first_seq: int) -> None:
    next_seq = first_seq
    for batch in batches:
        assert next_seq == batch.first_seq
        columns = (batch.timestamps_ns, batch.subjects, batch.payloads)
        assert 1 == len({len(column) for column in columns})
        next_seq += len(batch.payloads)


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_every_message_comes_once_and_in_order(
    nc: Connection, nats_url: str, batch_size: int
) -> None:
    """A lost or doubled bid changes a window; a batch beyond its limit fills the memory."""
    make_streams(nc)
    fill_shard(nc, numbered(1, 200))
    batches = drained(source_of(nc, nats_url, until=200, batch_size=batch_size))
    assert numbered(1, 200) == payloads_of(batches)
    assert_contiguous(batches, first_seq=1)
    assert max(len(batch.payloads) for batch in batches) <= batch_size


def test_a_batch_is_bounded_in_bytes(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand commands in each message, and no window is committed before all are judged."""
    monkeypatch.setattr(source, "BATCH_BYTES", 250)
    make_streams(nc)
    sent = [b"%03d" % number * 33 for number in range(50)] + [b"x" * 1000, b"y"]
    fill_shard(nc, sent)
    batches = drained(source_of(nc, nats_url, until=52))
    assert sent == payloads_of(batches)
    assert_contiguous(batches, first_seq=1)
    assert all(sum(map(len, batch.payloads[:-1])) < 250 for batch in batches)


def test_reading_starts_from_the_middle(nc: Connection, nats_url: str) -> None:
    """An off-by-one here applies a bid twice, or never."""
    make_streams(nc)
    fill_shard(nc, numbered(1, 50))
    batches = drained(source_of(nc, nats_url, next_seq=21, until=40))
    assert numbered(21, 40) == payloads_of(batches)
    assert_contiguous(batches, first_seq=21)


def test_reading_waits_at_the_end_of_the_log(nc: Connection, nats_url: str) -> None:
    """A shard that is up to date starts where nothing is yet."""
    make_streams(nc)
    fill_shard(nc, numbered(1, 5))
    partition = opened(source_of(nc, nats_url, next_seq=6))
    assert [] == next_batches(partition)
    fill_shard(nc, numbered(6, 7))
    assert numbered(6, 7) == payloads_of(taken(partition, 2))
    partition.close()


def test_subjects_are_public_and_times_are_the_servers(nc: Connection, nats_url: str) -> None:
    """The flow reads market and agent from the subject, and the clock from the timestamp."""
    make_streams(nc)
    fill(nc, [b"{}"], subject="market.m0.bid.a1")
    fill(nc, [b""], subject="clock.0")
    fill(nc, [b"{}"], subject="market.m0.price.gpu")
    (batch,) = drained(source_of(nc, nats_url, until=3))
    assert ["market.m0.bid.a1", "clock.0", "market.m0.price.gpu"] == batch.subjects
    log = run_sync(ask(nc, "STREAM.INFO.SHARD_0"))
    assert batch.timestamps_ns == sorted(batch.timestamps_ns)
    assert run_sync(identity(nc, 0)).created_ns < batch.timestamps_ns[0]
    assert nanos(log["state"]["last_ts"]) == batch.timestamps_ns[-1]


def test_a_position_beyond_its_end_ends_at_once(nc: Connection, nats_url: str) -> None:
    """A drained shard must not hold up the flow that drains the others."""
    make_streams(nc)
    assert [] == drained(source_of(nc, nats_url, next_seq=4, until=3))


def test_stop_ends_the_partition(nc: Connection, nats_url: str) -> None:
    """A deployment that cannot end its sources can only be killed."""
    make_streams(nc)
    stop = threading.Event()
    partition = opened(NatsSource(nats_url, {0: 1}, {0: run_sync(identity(nc, 0))}, stop=stop))
    assert [] == next_batches(partition)
    stop.set()
    with pytest.raises(StopIteration):
        partition.next_batch()
    partition.close()


def test_shards_are_the_keys_of_the_flow(nc: Connection, nats_url: str) -> None:
    """What two workers read must reach the steps under the shard's own key."""
    make_streams(nc)
    for shard in range(SHARDS):
        fill_shard(nc, numbered(1, 30), shard=shard)
    read: list[tuple[str, RawBatch]] = []
    flow = Dataflow("reading")
    stream = op.input(
        "nats_in",
        flow,
        NatsSource(
            nats_url,
            positions=dict.fromkeys(range(SHARDS), 1),
            identities={shard: run_sync(identity(nc, shard)) for shard in range(SHARDS)},
            until=dict.fromkeys(range(SHARDS), 30),
            batch_size=7,
        ),
    )
    op.output("out", stream, TestingSink(read))
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    for shard in range(SHARDS):
        batches = [batch for key, batch in read if key == str(shard)]
        assert numbered(1, 30) == payloads_of(batches)
        assert {shard} == {batch.shard for batch in batches}


def test_a_purged_log_is_a_gap(nc: Connection, nats_url: str) -> None:
    """To read on after what is missing would settle windows without their bids."""
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 10))
    run_sync(ask(nc, "STREAM.PURGE.SHARD_0", {"seq": 6}))
    with pytest.raises(LogGap, match="sequence 3 is next to read, the log continues with 6"):
        drained(source_of(nc, nats_url, next_seq=3, until=10))
    assert numbered(6, 10) == payloads_of(drained(source_of(nc, nats_url, next_seq=6, until=10)))


def test_a_log_purged_whole_is_a_gap(nc: Connection, nats_url: str) -> None:
    """An empty log looks like one that is up to date."""
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 10))
    run_sync(ask(nc, "STREAM.PURGE.SHARD_0"))
    with pytest.raises(LogGap, match="sequence 10 is next to read, the log continues with 11"):
        drained(source_of(nc, nats_url, next_seq=10, until=10))


def test_a_deleted_message_is_a_gap_after_what_precedes_it(nc: Connection, nats_url: str) -> None:
    """What lies before the gap is sound and must still be settled, what lies after must not."""
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 10))
    run_sync(ask(nc, "STREAM.MSG.DELETE.SHARD_0", {"seq": 7}))
    partition = opened(source_of(nc, nats_url))
    assert numbered(1, 6) == payloads_of(taken(partition, 6))
    with pytest.raises(LogGap, match="sequence 7 is next to read, the log continues with 8"):
        eventually(partition.next_batch)


def test_a_recreated_log_is_refused(nc: Connection, nats_url: str) -> None:
    """Its sequences mean other messages: the ledger would go on in a story it never saw."""
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 10))
    reading_old = source_of(nc, nats_url, next_seq=5, until=10)
    run_sync(ask(nc, "STREAM.DELETE.SHARD_0"))
    run_sync(ask(nc, "STREAM.DELETE.TICKS"))
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 10))
    with pytest.raises(LogReplaced, match="another one than the ledger was built from"):
        drained(reading_old)


def test_a_log_recreated_under_the_reader_is_refused(nc: Connection, nats_url: str) -> None:
    """The connection stays up, so only the stream itself can show it."""
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 10))
    partition = opened(source_of(nc, nats_url))
    assert numbered(1, 10) == payloads_of(taken(partition, 10))
    run_sync(ask(nc, "STREAM.DELETE.SHARD_0"))
    run_sync(ask(nc, "STREAM.DELETE.TICKS"))
    make_frail_stream(nc)
    fill_shard(nc, numbered(1, 20))
    with pytest.raises(LogReplaced, match="another one than the ledger was built from"):
        eventually(partition.next_batch)


def test_a_log_that_stays_away_is_refused(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deleted stream does not come back by waiting for it."""
    monkeypatch.setattr(read_ahead, "MISSING_LIMIT_S", 0.3)
    make_streams(nc)
    partition = opened(source_of(nc, nats_url))
    run_sync(ask(nc, "STREAM.DELETE.SHARD_0"))
    with pytest.raises(LogReplaced, match="the log SHARD_0 is gone"):
        eventually(partition.next_batch)


def test_a_shorter_log_is_refused(nc: Connection, nats_url: str) -> None:
    """A log restored from an old backup gives its last sequences to other messages."""
    make_streams(nc)
    fill_shard(nc, numbered(1, 5))
    with pytest.raises(LogReplaced, match="ends with sequence 5, the ledger has applied 6"):
        drained(source_of(nc, nats_url, next_seq=7, until=9))


def test_a_restart_of_the_server_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """An ephemeral consumer is gone with the server; the reader alone knows where it was."""
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_on_loop(connected(server.url, name="test")) as nc:
            make_streams(nc, shards=1)
            fill_shard(nc, numbered(1, 1000))
            partition = opened(source_of(nc, server.url, batch_size=7))
            read = taken(partition, 100)
            server.stop()
            server = start_nats(tmp_path / "nats", shards=1)
            fill_shard(nc, numbered(1001, 2000))
            missing = 2000 - len(payloads_of(read))
            read += taken(partition, missing)
            partition.close()
    finally:
        server.stop()
    assert numbered(1, 2000) == payloads_of(read)
    assert_contiguous(read, first_seq=1)


def test_an_outage_is_logged_once_and_ends_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A flow that waits for ever in silence looks like a market without bids."""
    monkeypatch.setattr(reader, "SILENCE_S", 0.2)
    monkeypatch.setattr("walras_client.nats.jetstream.API_DEADLINE_S", 0.2)
    monkeypatch.setattr(read_ahead, "OUTAGE_LIMIT_S", 1.0)
    server = start_nats(tmp_path / "nats", shards=1)
    with open_on_loop(connected(server.url, name="test")) as nc:
        make_streams(nc, shards=1)
        fill_shard(nc, [b"{}"])
        partition = opened(source_of(nc, server.url))
        taken(partition, 1)
        server.stop()
        with pytest.raises(ServerUnreachable, match="the log SHARD_0 cannot be read"):
            eventually(partition.next_batch)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    (warning,) = [record.getMessage() for record in warnings]
    assert warning.startswith("the log SHARD_0 cannot be read, retrying: ")


def test_a_server_that_was_never_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow must neither hang on its first read nor show a traceback of the network."""
    monkeypatch.setattr("walras_client.nats.connection.CONNECT_DEADLINE_S", 0.3)
    nobody = NatsSource("nats://127.0.0.1:1", {0: 1}, {0: StreamIdentity("SHARD_0", 1)})
    partition = opened(nobody)
    assert [] == next_batches(partition)
    with pytest.raises(ServerUnreachable, match="NATS cannot be reached"):
        eventually(partition.next_batch)


def test_a_quiet_log_is_no_outage(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A pull request that ends with nothing read is the night of a market, not its failure."""
    monkeypatch.setattr(reader, "EXPIRES_S", 2)  # as short as heartbeats of one second allow
    pulls: list[int] = []
    pull = StreamReader.pull

    async def counted(self: StreamReader, *, messages: int, max_bytes: int) -> None:
        pulls.append(messages)
        await pull(self, messages=messages, max_bytes=max_bytes)

    monkeypatch.setattr(StreamReader, "pull", counted)
    make_streams(nc)
    partition = opened(source_of(nc, nats_url))
    eventually(lambda: len(pulls) >= 2)
    fill_shard(nc, numbered(1, 3))
    assert numbered(1, 3) == payloads_of(taken(partition, 3))
    partition.close()
    ours = [record for record in caplog.records if record.name.startswith("connectors.")]
    assert [] == [record for record in ours if record.levelno >= logging.WARNING]


def reads_beyond(prefetcher: Prefetcher, seq: int) -> Callable[[], bool]:
    return lambda: prefetcher.next_seq > seq


def test_reading_ahead_is_bounded_in_messages(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that is slower than its log would fill the memory with what it has not read yet."""
    monkeypatch.setattr(source, "AHEAD_MESSAGES", 100)
    make_streams(nc)
    fill_shard(nc, numbered(1, 450))
    prefetcher = Prefetcher(nats_url, run_sync(identity(nc, 0)), next_seq=1)
    read: list[RawBatch] = []
    for full in (100, 200, 300, 400, 450):
        eventually(reads_beyond(prefetcher, full))
        assert full + 1 == prefetcher.next_seq
        read += filter(None, [prefetcher.take(1000)])
    prefetcher.close()
    assert [100, 100, 100, 100, 50] == [len(batch.payloads) for batch in read]
    assert_contiguous(read, first_seq=1)


def test_reading_ahead_is_bounded_in_bytes(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand small messages are nothing, a thousand of the largest are a gigabyte."""
    monkeypatch.setattr(source, "AHEAD_BYTES", 4 << 20)
    monkeypatch.setattr(source, "BATCH_BYTES", 8 << 20)
    make_streams(nc)
    large = [b"%d" % number * (1 << 20) for number in range(9)]
    fill_shard(nc, large)
    prefetcher = Prefetcher(nats_url, run_sync(identity(nc, 0)), next_seq=1)
    read: list[RawBatch] = []
    while len(payloads_of(read)) < 6:
        eventually(lambda: prefetcher.room() == (0, 0))
        read += filter(None, [prefetcher.take(1000)])
        assert sum(map(len, read[-1].payloads)) <= 4 << 20
    eventually(reads_beyond(prefetcher, 9))
    read += filter(None, [prefetcher.take(1000)])
    prefetcher.close()
    assert large == payloads_of(read)


def test_nothing_is_kept_between_two_runs(nc: Connection, nats_url: str) -> None:
    """A position of the engine's own beside the ledger's is one that can disagree with it."""
    make_streams(nc)
    partition = opened(source_of(nc, nats_url))
    assert None is partition.snapshot()
    partition.close()
    assert 0 == last_seq(nc, "SHARD_0")


def test_subjects_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may bid can name a new subject in each message: the memory is not his to fill."""
    monkeypatch.setattr(subjects, "REMEMBERED_SUBJECTS", 3)
    public = PublicSubjects(shard=2)
    stored = [b"shard.2.market.m1.bid.a%d" % number for number in range(10)]
    assert [f"market.m1.bid.a{number}" for number in range(10)] == [public[one] for one in stored]
    assert "clock.2" == public[b"shard.2.clock"]
    assert len(public) <= 3
