"""docker-compose.yml promises what the code keeps; no container engine is needed to see it.

What a container would run is run here as a process where that can be done.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import pytest
from psycopg.conninfo import conninfo_to_dict

from connectors.embedded.nats_server import executable
from connectors.nats.connection import connect
from connectors.nats.topology import ensure_streams
from flows.runtime.settings import PREFIX, Settings, load_settings
from state.errors import SettingsError
from tests.deploy.compose import HOUSE, document, services
from tests.support.eventually import eventually

STARTED_WITHIN_S: Final = 20
OWN_LOOPBACK: Final = "127.0.0.1:"
SHELL: Final = {
    "POSTGRES_PASSWORD": "4711",
    "WALRAS_SHARDS": "3",
    "WALRAS_WINDOW_MS": "2000",
    "WALRAS_PROCESSES": "2",
}


def as_set(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a process with these variables and no others of ours."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@contextmanager
def nats_service(folder: Path, **shell: str) -> Iterator[tuple[str, str]]:
    """The nats service as a process on ports of its own: its URL and its health check's."""
    service = services(**shell)["nats"]
    ports = folder / "ports"
    ports.mkdir()
    own = ["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--ports_file_dir", str(ports)]
    process = subprocess.Popen(
        [executable(), *_on_host(service, folder), *own],
        env=service["environment"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        listening = msgspec.json.decode(_written(ports / f"nats-server_{process.pid}.ports"))
        health = service["healthcheck"]["test"][-1]
        yield (
            listening["nats"][0],
            health.replace("http://127.0.0.1:8222", listening["monitoring"][0]),
        )
    finally:
        process.terminate()
        process.wait(timeout=10)


def _on_host(service: dict[str, list[str]], folder: Path) -> list[str]:
    """The service's command, with its volumes' places on this machine."""
    places = {}
    for volume in service["volumes"]:
        source, inside, *_ = volume.split(":")
        places[inside] = str(HOUSE / source) if source.startswith(".") else str(folder / source)
    return [places.get(word, word) for word in service["command"]]


def _written(file: Path) -> bytes:
    eventually(lambda: file.exists() and file.stat().st_size, within_s=STARTED_WITHIN_S)
    return file.read_bytes()


def http_status(url: str) -> int:
    """What a health check would get."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=5)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status
    finally:
        connection.close()


async def _prepare(url: str, *, shards: int) -> None:
    nc = await connect(url, name="compose test")
    try:
        await ensure_streams(nc, shards=shards, max_bytes=1 << 20, tick_ms=1000)
    finally:
        await nc.close()


def test_every_setting_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the code does not know stops the container before it has done anything."""
    settings = as_set(services()["walras"]["environment"], monkeypatch)
    assert "nats://nats:4222" == settings.nats_url
    assert settings.postgres_dsn is not None


def test_defaults_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two defaults for one setting, and a laptop and a container run two different markets."""
    settings = as_set(services()["walras"]["environment"], monkeypatch)
    bare = as_set({}, monkeypatch)
    own = {"nats_url": None, "nats_auth": "accounts", "postgres_dsn": None}
    assert bare.model_dump() == settings.model_dump() | own


def test_the_shell_sets_what_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the host that does not get through changes nothing and says nothing."""
    settings = as_set(services(**SHELL)["walras"]["environment"], monkeypatch)
    assert (3, 2000, 2) == (settings.shards, settings.window_ms, settings.processes)


def test_every_setting_can_be_set() -> None:
    """All but `home`, which the embedded servers alone would use."""
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert settings - {"WALRAS_HOME"} == set(services()["walras"]["environment"])


@pytest.mark.parametrize("shards", [1, 3])
def test_nats_serves_the_shards_that_walras_asks_for(tmp_path: Path, shards: int) -> None:
    """With another count in the mapping a market lives in a shard that nobody reads."""
    with nats_service(tmp_path, WALRAS_SHARDS=str(shards)) as (url, health):
        asyncio.run(_prepare(url, shards=shards))
        assert 200 == http_status(health)
    with pytest.raises(ConnectionRefusedError):
        http_status(health)
    assert (tmp_path / "log" / "jetstream").is_dir(), "the log is not on the volume"


def test_another_shard_count_is_refused(tmp_path: Path) -> None:
    """The test above would pass for any count if nothing compared the two."""
    with (
        nats_service(tmp_path, WALRAS_SHARDS="2") as (url, _),
        pytest.raises(SettingsError),
    ):
        asyncio.run(_prepare(url, shards=3))


def test_the_address_is_that_of_the_postgres_service() -> None:
    """A ledger whose name, user or password two lines of one file disagree on is not reached."""
    described = services(**SHELL)
    dsn = conninfo_to_dict(described["walras"]["environment"]["WALRAS_POSTGRES_DSN"])
    made = described["postgres"]["environment"]
    assert "4711" == made["POSTGRES_PASSWORD"]
    assert dsn == {
        "host": "postgres",
        "port": "5432",
        "user": made["POSTGRES_USER"],
        "password": made["POSTGRES_PASSWORD"],
        "dbname": made["POSTGRES_DB"],
    }


@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_walras_waits_for_healthy_servers(server: str) -> None:
    """A start that races the servers fails on the slow machine, not on the developer's."""
    assert {"condition": "service_healthy"} == services()["walras"]["depends_on"][server]
    assert {"test", "interval", "timeout", "retries"} <= set(services()[server]["healthcheck"])


@pytest.mark.parametrize(
    ("server", "kept"), [("nats", "/data"), ("postgres", "/var/lib/postgresql")]
)
def test_log_and_ledger_outlive_their_containers(server: str, kept: str) -> None:
    """What is written elsewhere is gone with `docker compose down`."""
    sources = {
        inside: source
        for source, inside, *_ in (volume.split(":") for volume in services()[server]["volumes"])
    }
    assert sources[kept] in document()["volumes"]


@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_only_this_host_reaches_the_servers(server: str) -> None:
    """NATS asks nobody who they are: an open port is an open treasury."""
    ports = services()[server]["ports"]
    assert ports == [port for port in ports if port.startswith(OWN_LOOPBACK)]


def test_images_are_of_the_versions_that_are_tested() -> None:
    """Schedules and the format of the data folder both depend on the version."""
    images = {name: service["image"] for name, service in services().items()}
    version = subprocess.run(
        [executable(), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    major_minor = version.removeprefix("nats-server: v").rpartition(".")[0]
    assert f"nats:{major_minor}-alpine" == images["nats"]
    assert "postgres:18" == images["postgres"]
