"""Encrypted connections: the broker is who its certificate says, by somebody whom we named."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.embedded.nats_server import executable
from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connect
from state.errors import ServerUnreachable, SettingsError
from tests.support.eventually import eventually
from tests.support.servers import open_folder
from walras_client.nats.broker import BrokerAddress

DAYS = "30"

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certs")


def openssl(folder: Path, *words: str) -> None:
    program = shutil.which("openssl")
    assert program is not None
    subprocess.run([program, *words], cwd=folder, check=True, capture_output=True, timeout=60)


def certify(folder: Path, name: str, *, host: str) -> None:
    """A CA of this name, and the key and certificate that it signed for a host."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(folder, "req", "-x509", *key, "-keyout", f"{name}.ca.key", "-out", f"{name}.ca.pem",
            "-days", DAYS, "-subj", f"/CN={name}")  # fmt: skip
    openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", "/CN=broker")  # fmt: skip
    (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{name}.ca.pem",
            "-CAkey", f"{name}.ca.key", "-CAcreateserial", "-days", DAYS,
            "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        certify(made, "right", host="IP:127.0.0.1")
        certify(made, "elsewhere", host="DNS:broker.example")
        yield made


@contextmanager
def encrypted(folder: Path, name: str) -> Iterator[str]:
    """The address of a broker that shows this certificate."""
    tls = ["--tls", "--tlscert", f"{name}.pem", "--tlskey", f"{name}.key"]
    listen = ["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", "."]
    with subprocess.Popen(
        [executable(), *listen, *tls], cwd=folder, stderr=subprocess.DEVNULL
    ) as server:
        try:
            ports = folder / f"nats-server_{server.pid}.ports"
            found = eventually(lambda: ports.read_text() if ports.exists() else "")
            yield json.loads(found)["nats"][0].replace("nats://", "tls://")
        finally:
            server.terminate()


def test_the_right_certificate_is_believed(folder: Path) -> None:
    """A deployment whose traffic crosses a network must be able to encrypt it."""
    with encrypted(folder, "right") as url:
        nc = run_sync(connect(str(BrokerAddress(url, ca=folder / "right.ca.pem")), name="test"))
        assert nc.is_connected
        run_sync(nc.close())


@pytest.mark.parametrize(
    ("certificate", "ca"),
    [("elsewhere", "elsewhere.ca.pem"), ("right", None)],
    ids=["of another host", "of a CA that nobody named"],
)
def test_another_certificate_is_not(folder: Path, certificate: str, ca: str | None) -> None:
    """Encryption without looking at who is there protects from nobody who can redirect us."""
    with encrypted(folder, certificate) as url:
        address = str(BrokerAddress(url, ca=folder / ca if ca else None))
        with pytest.raises(ServerUnreachable, match=r"(?i)certificate"):
            run_sync(connect(address, name="test"))


def test_a_ca_that_cannot_be_read_is_named(folder: Path) -> None:
    """A mistyped path must not become a connection that trusts anyone."""
    address = str(BrokerAddress("tls://127.0.0.1:1", ca=folder / "nowhere.pem"))
    with pytest.raises(SettingsError, match="cannot be read"):
        run_sync(connect(address, name="test"))
