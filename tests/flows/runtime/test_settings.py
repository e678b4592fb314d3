"""Settings: read from the environment, exact, and strict about what is not meant."""

import re
from pathlib import Path

import pytest

from flows.runtime.settings import PREFIX, Settings, load_settings, variables
from state.errors import SettingsError

HOUSE = Path(__file__).parents[3]
READS_ENVIRONMENT = re.compile(r"\bos\.environ\b|\bgetenv\b|\bBaseSettings\b")


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables():
        monkeypatch.delenv(name, raising=False)


def test_nothing_set_is_a_laptop() -> None:
    """A default that moves changes every deployment that never set it."""
    expected = {
        "home": Path(".walras"),
        "nats_url": None,
        "nats_auth": "accounts",
        "nats_creds": None,
        "nats_ca": None,
        "postgres_dsn": None,
        "shards": 1,
        "window_ms": 1000,
        "processes": 1,
        "stream_max_bytes": 4 << 30,
        "health_port": 7117,
        "log_level": "INFO",
        "metrics": "page",
        "traces": "off",
        "trace_ratio": 0.01,
        "logs": "off",
    }
    assert expected == load_settings().model_dump()


def test_each_setting_has_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable in the documents that nobody reads is a lie."""
    given = {
        "WALRAS_HOME": "elsewhere",
        "WALRAS_NATS_URL": "nats://127.0.0.1:4222",
        "WALRAS_NATS_AUTH": "none",
        "WALRAS_NATS_CREDS": "house.creds",
        "WALRAS_NATS_CA": "ca.pem",
        "WALRAS_POSTGRES_DSN": "postgresql://walras@127.0.0.1/walras",
        "WALRAS_SHARDS": "64",
        "WALRAS_WINDOW_MS": "10",
        "WALRAS_PROCESSES": "3",
        "WALRAS_STREAM_MAX_BYTES": "1048576",
        "WALRAS_HEALTH_PORT": "0",
        "WALRAS_LOG_LEVEL": "DEBUG",
        "WALRAS_METRICS": "otlp",
        "WALRAS_TRACES": "otlp",
        "WALRAS_TRACE_RATIO": "0.5",
        "WALRAS_LOGS": "otlp",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    read = load_settings().model_dump()
    assert given == {f"{PREFIX}{name.upper()}": str(value) for name, value in read.items()}
    assert set(given) == set(variables())


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass on what is not set as nothing."""
    monkeypatch.setenv("WALRAS_NATS_URL", "")
    monkeypatch.setenv("WALRAS_SHARDS", "")
    assert Settings() == load_settings()


def test_overrides_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a caller says outright must not be undone from outside."""
    monkeypatch.setenv("WALRAS_SHARDS", "2")
    assert 3 == load_settings(shards=3).shards


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WALRAS_SHARDS", "0"),
        ("WALRAS_SHARDS", "65"),
        ("WALRAS_SHARDS", "two"),
        ("WALRAS_SHARDS", "1.5"),
        ("WALRAS_WINDOW_MS", "9"),
        ("WALRAS_WINDOW_MS", "86400001"),
        ("WALRAS_LOG_LEVEL", "LOUD"),
        ("WALRAS_PROCESSES", "-1"),
        ("WALRAS_STREAM_MAX_BYTES", "1"),
        ("WALRAS_NATS_URL", "http://127.0.0.1:4222"),
        ("WALRAS_POSTGRES_DSN", "127.0.0.1"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A value that is quietly replaced starts another deployment than was asked for."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="the settings are wrong") as raised:
        load_settings()
    assert (2, name) == (raised.value.exit_code, raised.value.detail.split(":")[0])


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who mends one error only to meet the next loses patience."""
    monkeypatch.setenv("WALRAS_SHARDS", "0")
    monkeypatch.setenv("WALRAS_WINDOW_MS", "0")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    named = [line.split(":")[0] for line in raised.value.detail.splitlines()]
    assert ["WALRAS_SHARDS", "WALRAS_WINDOW_MS"] == named


@pytest.mark.parametrize("name", ["WALRAS_SHARD", "walras_shard", "WALRAS_NATS"])
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A misspelt variable is a setting that its owner believes in."""
    monkeypatch.setenv(name, "4")
    with pytest.raises(SettingsError, match=f"{name}: there is no such setting") as raised:
        load_settings()
    assert raised.value.hint.startswith("Did you mean WALRAS_")


def test_a_removed_variable_names_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who upgrades knows what the old name did, and not what does it now."""
    monkeypatch.setenv("WALRAS_WORKERS", "2")
    with pytest.raises(SettingsError, match="WALRAS_WORKERS: there is no such setting") as raised:
        load_settings()
    assert "Use WALRAS_PROCESSES in its place, and unset WALRAS_WORKERS" == raised.value.hint


def test_a_wrong_value_is_to_be_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hint at the name that is already right would send its reader in a circle."""
    monkeypatch.setenv("WALRAS_SHARDS", "0")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "Correct WALRAS_SHARDS or unset it" == raised.value.hint


def test_no_message_holds_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors and representations end in logs that many people read."""
    monkeypatch.setenv("WALRAS_NATS_URL", "nats://walras:hunter2@127.0.0.1:4222")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", "postgresql://walras:hunter2@127.0.0.1/walras")
    shown = repr(load_settings())
    monkeypatch.setenv("WALRAS_NATS_URL", "ftp://walras:hunter2@127.0.0.1")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    assert "hunter2" not in shown + str(raised.value)


def test_settings_do_not_change() -> None:
    """A setting that changes while it runs is none."""
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.shards = 2  # type: ignore[misc]


def test_only_the_settings_read_the_environment() -> None:
    """A second reader is a setting that no document and no check knows of."""
    parts = ("flows", "operators", "connectors", "state", "schemas", "otel")
    files = [file for part in parts for file in (HOUSE / part).rglob("*.py")]
    readers = [file for file in files if READS_ENVIRONMENT.search(file.read_text())]
    assert ["flows/runtime/settings.py"] == [str(file.relative_to(HOUSE)) for file in readers]
