"""The doctor: it sees each trouble, names what to do, and touches nothing."""

from pathlib import Path

import pytest

from flows.cli.doctor.checks import Finding, Health, dependencies, examine
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import prepare
from tests.support.servers import SHARDS
from tests.support.shell import shell

NOBODY = "127.0.0.1:1"


def found(settings: Settings) -> dict[str, Finding]:
    return {finding.thing: finding for finding in examine(settings)}


def troubles(settings: Settings) -> list[str]:
    return [each.thing for each in examine(settings) if each.health is Health.FAIL]


@pytest.fixture
def settings(nats_url: str, postgres_dsn: str, tmp_path: Path) -> Settings:
    """Servers without streams and without a schema."""
    return Settings(
        home=tmp_path,
        nats_url=nats_url,
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
    """Whoever asks how things are must find them as they were."""
    servers = found(Settings(home=tmp_path / "home"))["servers"]
    assert servers.health is Health.WARN
    assert "the doctor starts nothing" in servers.hint
    assert list(tmp_path.iterdir()) == []


def test_every_dependency_is_looked_at(tmp_path: Path) -> None:
    """A package that is missing shows as a riddle elsewhere unless it shows here."""
    findings = found(Settings(home=tmp_path))
    assert {"bytewax", "duckdb", "nats-py", "psycopg", "walras-schemas"} <= set(dependencies())
    looked_at = [findings[f"package {name}"].health for name in dependencies()]
    assert set(looked_at) == {Health.OK}


def test_silent_servers_are_found_with_a_hint(tmp_path: Path) -> None:
    """One server that is down must not hide that the other is down too."""
    silent = Settings(
        home=tmp_path, nats_url=f"nats://{NOBODY}", postgres_dsn=f"postgresql://u:p@{NOBODY}/x"
    )
    findings = [each for each in examine(silent) if each.health is Health.FAIL]
    assert [each.thing for each in findings] == ["log: NATS", "ledger: Postgres"]
    assert all(each.hint for each in findings)


@pytest.mark.parametrize(
    ("silent", "trouble"),
    [
        ({"nats_url": f"nats://{NOBODY}"}, "log: NATS"),
        ({"postgres_dsn": f"postgresql://u:p@{NOBODY}/x"}, "ledger: Postgres"),
    ],
)
def test_a_server_of_ones_own_is_looked_at_alone(
    tmp_path: Path, silent: dict[str, str], trouble: str
) -> None:
    """That the embedded one beside it does not run yet says nothing about the one that was set."""
    settings = Settings.model_validate({"home": tmp_path} | silent)
    assert troubles(settings) == [trouble]
    assert found(settings)["servers"].health is Health.WARN


def test_what_up_would_make_is_missed(settings: Settings) -> None:
    """Streams and schema that are not there stop every bid: the doctor says so, and makes none."""
    assert troubles(settings) == ["log: streams", "ledger: schema"]
    assert troubles(settings) == ["log: streams", "ledger: schema"]
    assert "walras up" in found(settings)["ledger: schema"].hint


def test_a_ready_deployment_is_well(settings: Settings) -> None:
    """A false alarm sends people looking for hours."""
    findings = found(ready(settings))
    assert [each.thing for each in findings.values() if each.health is Health.FAIL] == []
    assert findings["log: mapping"].found == f"markets are spread over {SHARDS} shard(s)"
    assert findings["ledger: windows, through DuckDB"].found == "0 committed"


def test_another_number_of_shards_is_found(settings: Settings) -> None:
    """With the wrong number markets would live in shards that nobody reads."""
    ready(settings)
    assert troubles(settings.model_copy(update={"shards": 1})) == ["log: mapping"]


def test_too_little_room_is_a_warning(tmp_path: Path) -> None:
    """A disk that fills up stops the log in the night."""
    greedy = Settings(home=tmp_path, stream_max_bytes=1 << 60)
    assert found(greedy)["disk space"].health is Health.WARN


def test_the_exit_code_says_it(
    capsys: pytest.CaptureFixture[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that asks the doctor reads one number."""
    monkeypatch.setenv("WALRAS_NATS_URL", str(settings.nats_url))
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", str(settings.postgres_dsn))
    monkeypatch.setenv("WALRAS_SHARDS", str(SHARDS))
    monkeypatch.setenv("WALRAS_STREAM_MAX_BYTES", str(settings.stream_max_bytes))
    walras = shell(capsys)
    sick = walras("doctor")
    ready(settings)
    assert (sick.code, walras("doctor").code) == (2, 0)
    assert "fail  ledger: schema" in sick.out
    monkeypatch.setenv("WALRAS_NATS_URL", f"nats://{NOBODY}")
    assert walras("doctor").code == 3
