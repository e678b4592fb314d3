"""The streams: made once, checked ever after, and fed with time by the server itself."""

import logging
from pathlib import Path
from typing import Final

import pytest

from connectors.embedded import nats_server
from connectors.embedded.nats_server import start_nats
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.export import LogLine, export_log
from connectors.nats.topology import (
    Config,
    check_mapping,
    identity,
    results_of_version_1,
    shard_config,
    ticks_config,
)
from state.errors import ServerUnreachable, SettingsError
from tests.support.eventually import eventually
from tests.support.nats_logs import LOG_BYTES, fill, last_seq, make_streams
from tests.support.servers import SHARDS
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask, nanos

MARKETS: Final = [f"m{number}" for number in range(40)]


def shards_of_markets(nc: Connection) -> dict[str, str]:
    return {
        market: fill(nc, [b"{}"], subject=f"market.{market}.market")[0].stream for market in MARKETS
    }


def ticks(url: str) -> list[LogLine]:
    return list(export_log(url, shard=0))


def test_making_streams_twice_changes_nothing(nc: Connection) -> None:
    """A restart that made a log again would lose the market's whole history."""
    make_streams(nc)
    before = [run_sync(identity(nc, shard)) for shard in range(SHARDS)]
    fill(nc, [b"{}"], subject="market.m1.bid.a1")
    make_streams(nc)
    assert before == [run_sync(identity(nc, shard)) for shard in range(SHARDS)]
    assert 1 == sum(last_seq(nc, log.name) for log in before)


def test_another_size_is_reported_and_left_alone(nc: Connection) -> None:
    """A log that a start made smaller would refuse commands, or forget what it has."""
    make_streams(nc, max_bytes=LOG_BYTES)
    with pytest.raises(SettingsError) as error:
        make_streams(nc, max_bytes=LOG_BYTES * 2)
    assert f"max_bytes is {LOG_BYTES}, asked for {LOG_BYTES * 2}" == error.value.detail
    make_streams(nc, max_bytes=LOG_BYTES)


def test_another_number_of_shards_is_reported(nc: Connection) -> None:
    """With another number a market would go on in a log that does not know its past."""
    make_streams(nc)
    with pytest.raises(SettingsError) as error:
        make_streams(nc, shards=SHARDS - 1)
    expected = f"walras_shards is {SHARDS}, asked for {SHARDS - 1}"
    assert expected == error.value.detail


def test_the_server_writes_ticks_into_the_log(nc: Connection, nats_url: str) -> None:
    """Without ticks a market that falls silent never closes its last window."""
    make_streams(nc, tick_ms=1000)
    first, second = eventually(lambda: ticks(nats_url)[1:] and ticks(nats_url)[:2])
    assert ["clock.0", "clock.0"] == [first.subject, second.subject]
    assert 500_000_000 < second.timestamp_ns - first.timestamp_ns < 1_500_000_000


def test_ticks_end_when_someone_else_publishes_them(nc: Connection, nats_url: str) -> None:
    """A schedule that stays behind would go on ticking for a deployment that has its own."""
    make_streams(nc, tick_ms=1000)
    eventually(lambda: ticks(nats_url))
    make_streams(nc, tick_ms=None)
    info = run_sync(ask(nc, "STREAM.INFO.TICKS", {"subjects_filter": "schedule.*"}))
    assert None is info["state"].get("subjects")


def test_markets_spread_and_stay(nc: Connection) -> None:
    """A market that moved to another shard would lose its balances there."""
    make_streams(nc)
    once, again = shards_of_markets(nc), shards_of_markets(nc)
    assert once == again
    assert {f"SHARD_{shard}" for shard in range(SHARDS)} == set(once.values())
    assert {"m0": "SHARD_0", "m1": "SHARD_3", "m2": "SHARD_2", "m3": "SHARD_1"} == {
        market: once[market] for market in MARKETS[:4]
    }


def test_all_commands_of_a_market_meet_in_one_log(nc: Connection) -> None:
    """A grant in another shard than its bid would never be there to spend."""
    make_streams(nc)
    subjects = ["bid.a1", "bid.a2", "transfer.a1", "grant", "market", "price.gpu"]
    acks = [fill(nc, [b"{}"], subject=f"market.m7.{end}")[0] for end in subjects]
    assert 1 == len({ack.stream for ack in acks})


@pytest.mark.parametrize("asked", [1, 3, 5])
def test_a_server_mapped_to_other_shards_is_reported(tmp_path: Path, asked: int) -> None:
    """Its markets would go into streams that nobody reads, or into none."""
    server = start_nats(tmp_path / "nats", shards=3 if asked != 3 else 4)
    try:
        with (
            open_on_loop(connected(server.url, name="test")) as nc,
            pytest.raises(SettingsError) as error,
        ):
            make_streams(nc, shards=asked)
    finally:
        server.stop()
    assert f"does not spread the markets over {asked} shards" in error.value.what


def test_a_server_without_the_mapping_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody's plain nats-server takes every stream and then no command."""
    plain = tmp_path / "plain.conf"
    plain.write_text("jetstream {}")
    monkeypatch.setattr(nats_server, "CONFIG", plain)
    server = start_nats(tmp_path / "nats", shards=2)
    try:
        with (
            open_on_loop(connected(server.url, name="test")) as nc,
            pytest.raises(SettingsError) as error,
        ):
            make_streams(nc, shards=2)
    finally:
        server.stop()
    assert "markets reach no stream" == error.value.detail


def test_looking_at_the_mapping_writes_nothing(nc: Connection) -> None:
    """A probe that stayed in the log would be a dead letter of ours in every market's ledger."""
    make_streams(nc)
    run_sync(check_mapping(nc, SHARDS))
    assert 0 == sum(last_seq(nc, f"SHARD_{shard}") for shard in range(SHARDS))


def test_a_log_that_does_not_fit_on_the_disk_is_reported(nc: Connection) -> None:
    """The server reserves the bytes: a wrong setting must not end in a traceback."""
    with pytest.raises(SettingsError) as error:
        make_streams(nc, max_bytes=1 << 60)
    assert "insufficient storage resources available" in error.value.detail


def test_a_shard_without_a_log_is_reported(nc: Connection) -> None:
    """An inspection before the first start must say what to do."""
    with pytest.raises(SettingsError, match="shard 0 has no log"):
        run_sync(identity(nc, 0))


def test_a_server_that_keeps_no_streams_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nats-server without JetStream answers everything but this."""
    bare = tmp_path / "bare.conf"
    bare.write_text("max_payload: 1MB")
    monkeypatch.setattr(nats_server, "CONFIG", bare)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with (
            open_on_loop(connected(server.url, name="test")) as nc,
            pytest.raises(ServerUnreachable, match="NATS does not keep streams"),
        ):
            make_streams(nc, shards=1)
    finally:
        server.stop()


@pytest.mark.parametrize("config", ["nats.conf", "deployment.conf"])
def test_more_than_a_thousand_can_follow_the_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    """The server's own limit would refuse every agent above it as if there were no market."""
    monkeypatch.setattr(nats_server, "CONFIG", nats_server.CONFIG.with_name(config))
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_on_loop(connected(server.url, name="test")) as nc:
            make_streams(nc, shards=1)
            for number in range(1001):
                run_sync(follow(nc, f"window.m{number}"))
            info = run_sync(ask(nc, "STREAM.INFO.WINDOWS"))
    finally:
        server.stop()
    assert 1001 == info["state"]["consumer_count"]


async def follow(nc: Connection, subject: str) -> None:
    """Make a consumer as an agent's client does."""
    config = {"filter_subject": subject, "ack_policy": "none", "mem_storage": True}
    await ask(nc, "CONSUMER.CREATE.WINDOWS", {"stream_name": "WINDOWS", "config": config})


# --- what version 1 left --------------------------------------------------------------------------


def config_of(nc: Connection, stream: str) -> Config:
    """What was asked for; the server's own metadata say which of its versions that needs."""
    config = Config(run_sync(ask(nc, f"STREAM.INFO.{stream}"))["config"])
    metadata = config.get("metadata", {})
    config["metadata"] = {key: metadata[key] for key in metadata if not key.startswith("_nats.")}
    return config


def streams(nc: Connection) -> set[str]:
    return set(run_sync(ask(nc, "STREAM.NAMES"))["streams"] or [])


def test_the_results_of_version_1_make_room(
    nc: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """They lie on the subjects of the windows: an upgrade would end with the first start."""
    caplog.set_level(logging.INFO)
    run_sync(ask(nc, "STREAM.CREATE.RESULTS", results_of_version_1()))
    make_streams(nc)
    assert {"TICKS", "WINDOWS", *(f"SHARD_{shard}" for shard in range(SHARDS))} == streams(nc)
    assert "the stream RESULTS of version 1 is deleted" in caplog.text


@pytest.mark.parametrize(
    "other",
    [{"max_age": 0}, {"subjects": ["window.>"]}, {"name": "MINE"}],
    ids=["kept for ever", "windows alone", "another name"],
)
def test_any_other_stream_in_the_way_is_reported_and_stays(nc: Connection, other: Config) -> None:
    """An operator who keeps the windows for himself must not lose them to a start."""
    kept = results_of_version_1() | other
    run_sync(ask(nc, f"STREAM.CREATE.{kept['name']}", kept))
    before = config_of(nc, kept["name"])
    with pytest.raises(SettingsError, match="refused to make the stream WINDOWS") as error:
        make_streams(nc)
    assert "window.>" in error.value.hint
    assert before == config_of(nc, kept["name"])


def test_a_log_of_version_1_takes_no_batches_any_more(nc: Connection) -> None:
    """With 50 batches that it leaves open one agent keeps those of all others out."""
    config = shard_config(0, shards=SHARDS, max_bytes=LOG_BYTES)
    run_sync(ask(nc, "STREAM.CREATE.TICKS", ticks_config()))
    run_sync(ask(nc, "STREAM.CREATE.SHARD_0", config | {"allow_atomic": True}))
    (ack,) = fill(nc, [b"{}"], subject="shard.0.market.m1.bid.a1")
    created = run_sync(identity(nc, 0))
    before = config_of(nc, "SHARD_0")
    make_streams(nc)
    assert before.pop("allow_atomic") is True
    after = config_of(nc, "SHARD_0")
    assert not after.pop("allow_atomic", False)
    assert before == after
    assert (created, ack.seq) == (run_sync(identity(nc, 0)), last_seq(nc, "SHARD_0"))


def test_a_log_that_differs_is_left_as_it_is(nc: Connection) -> None:
    """One that belongs to other settings is reported, and not changed first."""
    config = shard_config(0, shards=SHARDS, max_bytes=LOG_BYTES // 2) | {"allow_atomic": True}
    run_sync(ask(nc, "STREAM.CREATE.TICKS", ticks_config()))
    run_sync(ask(nc, "STREAM.CREATE.SHARD_0", config))
    with pytest.raises(SettingsError, match="SHARD_0 is not the one"):
        make_streams(nc)
    assert config_of(nc, "SHARD_0").get("allow_atomic") is True


def test_creation_times_are_read_to_the_nanosecond() -> None:
    """Two streams made one after the other differ in the last digits only."""
    assert 1_795_364_349_089_112_468 == nanos("2026-11-22T16:19:09.089112468Z")
    assert 1_795_364_349_500_000_000 == nanos("2026-11-22T16:19:09.5Z")
    assert 1_795_364_349_000_000_000 == nanos("2026-11-22T16:19:09Z")
