"""The doctor: it finds each problem, names what to do, and touches nothing."""

from pathlib import Path

import psycopg
import pytest

from flows.cli.doctor.checks import Finding, Verdict, dependencies, examine
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import prepare
from tests.support.servers import SHARDS
from tests.support.shell import shell

NOBODY = "127.0.0.1:1"
BID = """
    INSERT INTO ledger.bid
    VALUES (7, 1, now(), 1, 1, 1, 0, 0, -1, 0, 0, gen_random_uuid(), 0, 0, 0, 2, 0)
"""


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.thing: finding for finding in examine(settings)}


def failed(settings: Settings) -> list[str]:
    return [each.thing for each in examine(settings) if each.health is Verdict.FAIL]


@pytest.fixture
def settings(nats_url: str, postgres_dsn: str, tmp_path: Path) -> Settings:
    """Servers without streams and without a schema."""
    return Settings(
        home=tmp_path,
        nats_url=nats_url,
        nats_auth="none",
        postgres_dsn=postgres_dsn,
        shards=SHARDS,
        stream_max_bytes=16 << 20,
    )


def ready(settings: Settings) -> Settings:
    """The same servers with everything that `walras up` makes."""
    assert settings.nats_url is not None
    assert settings.postgres_dsn is not None
    prepare(settings, Servers(settings.nats_url, settings.postgres_dsn))
    return settings


def test_nothing_is_started(tmp_path: Path) -> None:
    """A check must leave everything as it was."""
    servers = found(Settings(home=tmp_path / "home"))["servers"]
    assert Verdict.WARN is servers.health
    assert "the doctor starts nothing" in servers.hint
    assert [] == list(tmp_path.iterdir())


def test_every_dependency_is_checked(tmp_path: Path) -> None:
    """A missing package shows as an obscure error elsewhere unless it shows here."""
    findings = found(Settings(home=tmp_path))
    assert {"bytewax", "duckdb", "nats-py", "psycopg", "walras-schemas"} <= set(dependencies())
    checked = [findings[f"package {name}"].health for name in dependencies()]
    assert {Verdict.OK} == set(checked)


def test_silent_servers_are_found_with_a_hint(tmp_path: Path) -> None:
    """One server that is down must not hide that the other is down too."""
    silent = Settings(
        home=tmp_path,
        nats_url=f"nats://{NOBODY}",
        nats_auth="none",
        postgres_dsn=f"postgresql://u:p@{NOBODY}/x",
    )
    findings = [each for each in examine(silent) if each.health is Verdict.FAIL]
    assert ["log: NATS", "ledger: Postgres"] == [each.thing for each in findings]
    assert all(each.hint for each in findings)


@pytest.mark.parametrize(
    ("silent", "failing"),
    [
        ({"nats_url": f"nats://{NOBODY}"}, "log: NATS"),
        ({"postgres_dsn": f"postgresql://u:p@{NOBODY}/x"}, "ledger: Postgres"),
    ],
)
def test_an_external_server_is_checked_alone(
    tmp_path: Path, silent: dict[str, str], failing: str
) -> None:
    """That the embedded one beside it does not run yet says nothing about the one that was set."""
    settings = Settings.model_validate({"home": tmp_path, "nats_auth": "none"} | silent)
    assert [failing] == failed(settings)
    assert Verdict.WARN is found(settings)["servers"].health


def test_what_up_would_make_is_missed(settings: Settings) -> None:
    """Streams and schema that are not there stop every bid: the doctor says so, and makes none."""
    assert ["log: streams", "ledger: schema"] == failed(settings)
    assert ["log: streams", "ledger: schema"] == failed(settings)
    assert "walras up" in found(settings)["ledger: schema"].hint


def test_a_ready_deployment_is_healthy(settings: Settings) -> None:
    """A false alarm sends people looking for hours."""
    findings = found(ready(settings))
    assert [] == [each.thing for each in findings.values() if each.health is Verdict.FAIL]
    assert f"markets are spread over {SHARDS} shard(s)" == findings["log: mapping"].found
    assert "0 committed" == findings["ledger: windows, through DuckDB"].found


def test_bids_that_are_there_twice_are_found(settings: Settings) -> None:
    """Bids have no key: a backup restored on top of a ledger is refused by nothing."""
    assert settings.postgres_dsn is not None
    ready(settings)
    with psycopg.connect(settings.postgres_dsn) as conn:
        for _ in range(2):
            conn.execute(BID)
    assert ["ledger: each bid once"] == failed(settings)
    assert "Replay the log" in found(settings)["ledger: each bid once"].hint


def test_another_number_of_shards_is_found(settings: Settings) -> None:
    """With the wrong number markets would live in shards that nobody reads."""
    ready(settings)
    assert ["log: mapping"] == failed(settings.model_copy(update={"shards": 1}))


def test_too_little_space_is_a_warning(tmp_path: Path) -> None:
    """A disk that fills up stops the log in the night."""
    greedy = Settings(home=tmp_path, stream_max_bytes=1 << 60)
    assert Verdict.WARN is found(greedy)["disk space"].health


def test_the_exit_code_is_the_worst_finding(
    capsys: pytest.CaptureFixture[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that asks the doctor reads one number."""
    monkeypatch.setenv("WALRAS_NATS_URL", str(settings.nats_url))
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", str(settings.postgres_dsn))
    monkeypatch.setenv("WALRAS_SHARDS", str(SHARDS))
    monkeypatch.setenv("WALRAS_STREAM_MAX_BYTES", str(settings.stream_max_bytes))
    walras = shell(capsys)
    unready = walras("doctor")
    ready(settings)
    assert (2, 0) == (unready.code, walras("doctor").code)
    assert "fail  ledger: schema" in unready.out
    monkeypatch.setenv("WALRAS_NATS_URL", f"nats://{NOBODY}")
    assert 3 == walras("doctor").code
