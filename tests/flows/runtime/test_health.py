"""Health: what supervisors and the doctor see, in every state of the two servers."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from connectors.web.server import HOST
from flows.cli.doctor import checks as doctor
from flows.runtime import health
from flows.runtime import supervisor as deployment
from flows.runtime.health import Health, HealthMonitor, measure, serving_health
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import prepare
from tests.support.eventually import eventually
from tests.support.nats_logs import fill_shard
from tests.support.servers import SHARDS
from walras_client.nats.connection import Connection

NOBODY = Servers("nats://127.0.0.1:1", "host=127.0.0.1 port=1")
WINDOW_MS = 50


@pytest.fixture
def servers(nats_url: str, postgres_dsn: str) -> Servers:
    return Servers(nats_url, postgres_dsn)


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Settings:
    """A deployment that was prepared and has not run yet; health on a port of its own."""
    made = Settings(
        home=tmp_path,
        nats_url=servers.nats_url,
        nats_auth="none",
        postgres_dsn=servers.postgres_dsn,
        shards=SHARDS,
        window_ms=WINDOW_MS,
        stream_max_bytes=16 << 20,
        health_port=free_port(),
    )
    prepare(made, servers)
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def asked(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """The status of a page and what it says."""
    connection = HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", path)
        answer: HTTPResponse = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def running(settings: Settings, servers: Servers) -> Iterator[None]:
    stop = Event()
    thread = Thread(target=deployment.run, args=(settings, servers, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_both_pages_show_age_and_lag(settings: Settings, servers: Servers, nc: Connection) -> None:
    """A supervisor knows only what it reads here."""
    port = settings.health_port
    with running(settings, servers), serving_health(settings, servers):
        fill_shard(nc, [b"not a bid"])
        eventually(lambda: listens(port))
        eventually(lambda: asked(port, "/readyz")[1]["shards"][0:1] != [])
        eventually(lambda: asked(port, "/readyz")[1]["shards"][0]["committed_ago_s"] is not None)
        code, ready = asked(port, "/readyz")
        assert (200, True, []) == (code, ready["ready"], ready["troubles"])
        code, alive = asked(port, "/healthz")
        assert (200, True, []) == (code, alive["alive"], alive["troubles"])
        assert list(range(SHARDS)) == [shard["shard"] for shard in alive["shards"]]
        shown = {"shard", "lag_messages", "behind_s", "committed_ago_s", "silent_s", "ahead_s"}
        assert shown == set(alive["shards"][0])
        assert 0 <= alive["shards"][0]["committed_ago_s"] < 60
        assert (404, {"pages": ["/healthz", "/readyz"]}) == asked(port, "/")
    assert not listens(port)


def test_silent_servers_are_not_ready_and_alive(settings: Settings) -> None:
    """A process that is killed for the outage of its database helps nobody."""
    with serving_health(settings, NOBODY):
        eventually(lambda: listens(settings.health_port))
        assert 503 == asked(settings.health_port, "/readyz")[0]
        eventually(lambda: len(asked(settings.health_port, "/readyz")[1]["troubles"]) == 2)
        code, page = asked(settings.health_port, "/readyz")
        assert (503, False) == (code, page["ready"])
        assert "Postgres does not answer" in page["troubles"][0]
        assert "NATS cannot be reached" in page["troubles"][1]
        assert 200 == asked(settings.health_port, "/healthz")[0]


def test_a_flow_that_falls_behind_is_not_ready(
    settings: Settings, servers: Servers, nc: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both servers answer, and yet nobody's bid is settled."""
    monkeypatch.setattr(health, "LAG_LIMIT_S", 0.0)
    fill_shard(nc, [b"first"])
    assert () == measure(settings, servers).problems, "the open window is no delay"
    eventually(lambda: fill_shard(nc, [b"more"]) and measure(settings, servers).problems)
    (problem,) = measure(settings, servers).problems
    assert problem.startswith("shard 0 is ")
    assert problem.endswith(" s behind, no window yet: more than 0.05 s")


def test_a_long_window_is_no_delay(settings: Settings, servers: Servers, nc: Connection) -> None:
    """With windows of a day nothing is committed for a day."""
    fill_shard(nc, [b"first"])
    fill_shard(nc, [b"second"])
    (first, *_) = measure(settings.model_copy(update={"window_ms": 86_400_000}), servers).shards
    assert (2, None) == (first.lag_messages, first.committed_ago_s)


def test_the_doctor_says_the_same(settings: Settings, servers: Servers, nc: Connection) -> None:
    """Two answers to one question, and the operator believes the wrong one."""
    fill_shard(nc, [b"first"])
    findings = {finding.thing: finding for finding in doctor.examine(settings)}
    assert measure(settings, servers).summary == findings["flow"].found
    assert doctor.Verdict.OK is findings["flow"].health


def test_the_doctor_warns_of_a_flow_that_is_behind(
    settings: Settings, nc: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is there, and nothing works: a warning, as `walras up` would start."""
    monkeypatch.setattr(health, "LAG_LIMIT_S", -1.0)
    fill_shard(nc, [b"first"])
    findings = {finding.thing: finding for finding in doctor.examine(settings)}
    assert doctor.Verdict.WARN is findings["flow"].health
    assert "walras up" in findings["flow"].hint


def test_a_stale_measurement_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that hangs must not leave the last good answer up."""
    monitor = HealthMonitor()
    monitor.record(Health())
    assert 200 == monitor.ready().status
    monkeypatch.setattr(health, "STALE_AFTER_S", -1.0)
    assert ["no answer for 0 s"] == monitor.ready().content["troubles"]
    assert 503 == monitor.ready().status


def test_a_port_in_use_is_reported_once_and_retried(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The deployment that is replaced still holds it: the successor starts all the same."""
    with socket.socket() as predecessor:
        predecessor.bind((HOST, settings.health_port))
        predecessor.listen()
        with serving_health(settings, NOBODY):
            eventually(lambda: caplog.records)
            predecessor.close()
            eventually(lambda: listens(settings.health_port))
            assert 200 == asked(settings.health_port, "/healthz")[0]
    busy = f"health endpoint: port {settings.health_port} in use, retrying"
    assert [busy] == caplog.messages


def test_a_slow_client_delays_nobody(settings: Settings) -> None:
    """One half of a request must keep neither a supervisor waiting nor the deployment alive."""
    with serving_health(settings, NOBODY):
        eventually(lambda: listens(settings.health_port))
        slow = socket.create_connection((HOST, settings.health_port), timeout=10)
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert 200 == asked(settings.health_port, "/healthz")[0]
    with slow:
        assert b"" == slow.recv(1)


def test_port_0_serves_nothing(settings: Settings) -> None:
    """Where nobody asks, nothing listens."""
    with serving_health(settings.model_copy(update={"health_port": 0}), NOBODY):
        assert not listens(settings.health_port)


def test_the_age_grows_between_two_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """An age that stands still is that of a measurement, not of a window."""
    monitor = HealthMonitor()
    seen = health.ShardHealth(shard=0, lag_messages=1, behind_s=0.1, committed_ago_s=1.0)
    monitor.record(Health(shards=(seen, replace(seen, shard=1, committed_ago_s=None))))
    now_s = time.monotonic()
    monkeypatch.setattr("flows.runtime.health.time.monotonic", lambda: now_s + 2)
    first, second = monitor.alive().content["shards"]
    assert (True, None) == (3 <= first["committed_ago_s"] < 3.5, second["committed_ago_s"])
