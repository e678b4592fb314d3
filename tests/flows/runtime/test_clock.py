"""The clock of a log: one that stopped is set going, one that is ahead is told to the operator."""

import logging
import re
import time
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Final

import pytest

from connectors.nats.background_loop import run_sync
from connectors.nats.log_checks import log_ends
from connectors.postgres.connection import connect
from flows.cli.doctor import checks as doctor
from flows.runtime import clock, health
from flows.runtime import supervisor as deployment
from flows.runtime.health import measure
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import prepare, services
from tests.support.eventually import eventually
from tests.support.servers import SHARDS
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask

HOUR_S: Final = 3600
NS_PER_S: Final = 1_000_000_000


@pytest.fixture
def servers(nats_url: str, postgres_dsn: str) -> Servers:
    return Servers(nats_url, postgres_dsn)


@pytest.fixture
def settings(servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment by whose clock the server ticks, looked at often."""
    monkeypatch.setattr(health, "MEASURE_INTERVAL_S", 0.05)
    monkeypatch.setattr(health, "CLOCKS_DIFFER_S", 0.5)
    made = Settings(
        home=tmp_path,
        nats_url=servers.nats_url,
        nats_auth="none",
        postgres_dsn=servers.postgres_dsn,
        shards=SHARDS,
        stream_max_bytes=16 << 20,
        health_port=0,
    )
    prepare(made, servers)
    return made


def last_seqs(servers: Servers) -> list[int]:
    return [end.last_seq for end in log_ends(servers.nats_url, shards=SHARDS).values()]


def tick_everywhere(servers: Servers, *, after: list[int]) -> bool:
    return all(now > then for now, then in zip(last_seqs(servers), after, strict=True))


def test_a_clock_that_stopped_is_set_going(
    settings: Settings, servers: Servers, nc: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Without ticks no window closes, while every page says that nothing is behind."""
    caplog.set_level(logging.WARNING, logger="flows.runtime.clock")
    eventually(lambda: tick_everywhere(servers, after=[0] * SHARDS))
    with services(settings, servers):
        run_sync(ask(nc, "STREAM.DELETE.TICKS"))
        eventually(lambda: caplog.messages)
        stopped = last_seqs(servers)
        eventually(lambda: tick_everywhere(servers, after=stopped))
        eventually(lambda: measure(settings, servers).problems == ())
        assert "TICKS" == run_sync(ask(nc, "STREAM.INFO.TICKS"))["config"]["name"]
    (line,) = caplog.messages
    assert line.startswith("the clock of shard 0 has stopped: no tick for ")
    assert line.endswith("; this process ticks from now on")


def test_it_stands_only_where_it_did_go(settings: Settings, servers: Servers) -> None:
    """A log that is empty has no last message, and a deployment of one second is not broken."""
    for shard in measure(settings, servers).shards:
        assert shard.silent_s is None or shard.silent_s < 60


def test_windows_of_a_day_have_ticks_too(settings: Settings, servers: Servers) -> None:
    """Two windows of a day would be two days until somebody is told."""
    eventually(lambda: tick_everywhere(servers, after=[0] * SHARDS))
    nightly = settings.model_copy(update={"window_ms": 86_400_000})
    assert () == measure(nightly, servers).standing


def test_a_clock_that_is_ahead_is_told(
    settings: Settings, servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """Every bid is rejected for an hour, and none of the reasons says why."""
    caplog.set_level(logging.WARNING, logger="flows.runtime.clock")
    claim_all(settings, servers)
    ahead_ns = time.time_ns() + HOUR_S * NS_PER_S
    with closing(connect(servers.postgres_dsn)) as ledger:
        ledger.execute("UPDATE ledger.shard SET stream_time_ns = %s WHERE shard = 1", [ahead_ns])
    (problem,) = measure(settings, servers).problems
    assert re.match("the clock of shard 1 is 3[56][0-9]+ s ahead of this machine's", problem)
    assert "stale_event_id" in problem
    findings = {finding.thing: finding for finding in doctor.examine(settings)}
    assert findings["flow"].found.startswith("the clock of shard 1 is ")
    assert "outages.md" in findings["flow"].hint
    with clock.keeping_clock(settings, servers) as looked_at:
        looked_at.look(measure(settings, servers))
        looked_at.look(measure(settings, servers))
    assert 1 == len(caplog.messages)


def claim_all(settings: Settings, servers: Servers) -> None:
    """Run the deployment until every shard has a row."""
    stop, ready = Event(), Event()
    running = Thread(
        target=deployment.run, args=(settings, servers, stop), kwargs={"ready": ready.set}
    )
    running.start()
    assert ready.wait(60)
    stop.set()
    running.join()
