"""The deployment's own keys: written out for a broker of one's own, and rotated while it runs."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.embedded.nats_server import executable
from connectors.identity.keys import KeyFolder, rotate_creds, trust
from connectors.nats.accounts import push_account
from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connect
from connectors.nats.topology import make_streams
from state.errors import SettingsError
from tests.isolation.broker import SHARDS, Broker, running
from tests.support.eventually import eventually
from tests.support.servers import open_folder
from tests.support.shell import Walras, shell
from walras_client.nats.broker import BrokerAddress


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running() as started:
        yield started


def test_rotation_shuts_out_the_old_and_lets_in_who_reads_the_new(broker: Broker) -> None:
    """Keys that leaked must be worth nothing, and a deployment must survive that."""
    house = broker.keys.creds("house")
    leaked = house.with_name("leaked.creds")
    leaked.write_bytes(house.read_bytes())
    worker = run_sync(connect(str(BrokerAddress(broker.url, creds=house)), name="worker"))
    try:
        rotate_creds(broker.keys)
        system = str(BrokerAddress(broker.url, creds=broker.keys.creds("system")))
        for jwt in trust(broker.keys, shards=SHARDS).accounts.values():
            push_account(system, jwt)
        eventually(lambda: worker.is_connected and worker.stats["reconnects"] > 0)
    finally:
        run_sync(worker.close())
    with pytest.raises(SettingsError, match="refuses the credentials"):
        run_sync(connect(str(BrokerAddress(broker.url, creds=leaked)), name="thief"))


def test_a_broker_of_ones_own_runs_with_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that has to be completed by hand is completed wrongly."""
    walras: Walras = shell(capsys)
    with open_folder() as home:
        monkeypatch.setenv("WALRAS_HOME", str(home))
        monkeypatch.setenv("WALRAS_SHARDS", str(SHARDS))
        assert 0 == walras("keys", "init").code
        shown = walras("keys", "show")
        keys = KeyFolder(home / "keys")
        assert keys.key("operator").public in shown.out
        printed = walras("keys", "server-config").out
        assert keys.key("operator").seed not in shown.out + printed
        with serving(home, printed) as url:
            make_streams(
                str(BrokerAddress(url, creds=keys.creds("house"))),
                shards=SHARDS,
                max_bytes=1 << 24,
                tick_ms=None,
            )


@contextmanager
def serving(home: Path, config: str) -> Iterator[str]:
    """A broker with this configuration, started by hand."""
    (home / "nats.conf").write_text(f'{config}\njetstream {{ store_dir: "./streams" }}\n')
    with subprocess.Popen(
        [executable(), "-c", "nats.conf", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", home],
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            ports = home / f"nats-server_{server.pid}.ports"
            found = eventually(lambda: ports.read_text() if ports.exists() else "")
            yield json.loads(found)["nats"][0]
        finally:
            server.terminate()
