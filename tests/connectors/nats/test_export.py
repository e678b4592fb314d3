"""From the log to a file and back: nothing added, nothing lost, nothing changed."""

from pathlib import Path
from typing import Final

import pytest

from connectors.files.logfile import read_batches, write_log
from connectors.nats import export
from connectors.nats.export import export_log
from state.errors import SettingsError
from state.log import RawBatch
from tests.support.eventually import eventually
from tests.support.nats_logs import drained, fill, fill_shard, last_seq, make_streams, source_of
from walras_client.nats.connection import Connection

NASTY: Final = [
    b"",
    b"\xff\xfe\x00",
    "\u2028 ü \U0001f4a3".encode(),
    b'{"a": "\\"}\n',
    b"\r\n",
    b"\xc3(",
]


def joined(batches: list[RawBatch]) -> RawBatch:
    return RawBatch(
        shard=batches[0].shard,
        first_seq=batches[0].first_seq,
        timestamps_ns=[t for batch in batches for t in batch.timestamps_ns],
        subjects=[s for batch in batches for s in batch.subjects],
        payloads=[p for batch in batches for p in batch.payloads],
    )


def test_a_file_holds_what_the_flow_would_read(
    nc: Connection, nats_url: str, tmp_path: Path
) -> None:
    """A replay of a file that differs in one byte gives another ledger than the market had."""
    make_streams(nc, tick_ms=1000)
    fill(nc, NASTY, subject="market.m0.bid.a1")
    fill(nc, NASTY, subject="market.m0.price.gpu")
    eventually(lambda: last_seq(nc, "SHARD_0") > 2 * len(NASTY))
    file = tmp_path / "shard-0.jsonl"
    written = write_log(file, export_log(nats_url, shard=0))
    read = list(read_batches(file, shard=0, batch_size=5, window_ms=1000))
    assert joined(drained(source_of(nc, nats_url, until=written))) == joined(read[:-1])
    assert (["clock.0"], written + 1) == (read[-1].subjects, read[-1].first_seq)


def test_a_log_longer_than_a_chunk_is_exported_whole(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export that ends with its first chunk looks complete."""
    monkeypatch.setattr(export, "CHUNK_MESSAGES", 10)
    make_streams(nc)
    payloads = [b"%d" % number for number in range(95)]
    fill_shard(nc, payloads)
    lines = list(export_log(nats_url, shard=0))
    assert payloads == [line.payload for line in lines]
    assert [*range(1, 96)] == [line.seq for line in lines]


def test_headers_are_exported(nc: Connection, nats_url: str) -> None:
    """A trace that ends at the log cannot be followed from its file."""
    make_streams(nc)
    fill(nc, [b"{}"], subject="market.m0.bid.a1")
    (line,) = export_log(nats_url, shard=0)
    assert line.headers["Nats-Msg-Id"].startswith("market.m0.bid.a1-")


def test_an_empty_log_gives_no_line(nc: Connection, nats_url: str) -> None:
    """An export that waits for a first message never ends on a new market."""
    make_streams(nc)
    assert [] == list(export_log(nats_url, shard=0))


def test_an_export_may_be_left_early(nc: Connection, nats_url: str) -> None:
    """`walras log export | head` must not leave a connection behind."""
    make_streams(nc)
    fill_shard(nc, [b"1", b"2", b"3"])
    lines = export_log(nats_url, shard=0)
    assert 1 == next(lines).seq
    lines.close()
    assert [] == list(lines)


def test_a_shard_that_is_not_there_is_reported(nc: Connection, nats_url: str) -> None:
    """A typing error in the shard must not give an empty file."""
    make_streams(nc)
    with pytest.raises(SettingsError, match="shard 9 has no log"):
        list(export_log(nats_url, shard=9))
