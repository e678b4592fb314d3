"""A real collector and a real Phoenix of a test's own, with TLS and tokens, on the loopback."""

import json
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from typing import Any, Final

import pytest

from tests.support.eventually import eventually

HOUSE: Final = Path(__file__).parents[2]
COLLECTOR: Final = HOUSE / ".tools" / "otelcol" / "otelcol-walras"
PHOENIX: Final = HOUSE / ".tools" / "phoenix" / "bin" / "phoenix"
CONFIG: Final = HOUSE / "otel" / "collector" / "config.yaml"
TOKEN: Final = "token-of-the-test"  # noqa: S105 - it opens nothing but this test's collector
SECRET: Final = "a1" * 20
ADMIN: Final = "b2" * 20
START_S: Final = 90.0
PROJECT: Final = "default"


def require(program: Path, target: str) -> None:
    """Skip where the program was not installed."""
    if not program.exists():
        pytest.skip(f"{program.name} is not installed: `make {target}`")
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")


def free_port() -> int:
    """A port that was free a moment ago."""
    with create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Certificates:
    """An authority, and a certificate of the loopback."""

    ca: Path
    cert: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """For a day."""
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    made = Certificates(ca, folder / "server.crt", folder / "server.key")
    new: list[str | Path]
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
    ]
    _run(*new, "-keyout", ca_key, "-out", ca, "-subj", "/CN=walras test")
    signed: list[str | Path]
    signed = [
        "-CA",
        ca,
        "-CAkey",
        ca_key,
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:localhost",
    ]
    signed += ["-addext", "basicConstraints=critical,CA:FALSE"]
    _run(*new, "-keyout", made.key, "-out", made.cert, "-subj", "/CN=localhost", *signed)
    return made


def _run(*words: str | Path) -> None:
    subprocess.run(list(map(str, words)), check=True, capture_output=True)


@contextmanager
def running(words: list[str], env: Mapping[str, str], log: Path) -> Iterator[None]:
    """A program for the block; what it writes is in the file."""
    with (
        log.open("ab") as output,
        subprocess.Popen(words, env={**os.environ, **env}, stdout=output, stderr=output) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)


@dataclass(frozen=True, slots=True)
class Collector:
    """Where it listens, and how it is started."""

    folder: Path
    certificates: Certificates
    grpc_port: int
    health_port: int
    env: Mapping[str, str]

    @contextmanager
    def running(self) -> Iterator[None]:
        """The collector for the block, from when it is healthy."""
        log = self.folder / "collector.log"
        with running([str(COLLECTOR), "--config", str(CONFIG)], self.env, log):
            eventually(self._is_healthy)
            yield

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def client_env(self) -> dict[str, str]:
        """What an exporter is told."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{self.grpc_port}",
            "OTEL_EXPORTER_OTLP_CERTIFICATE": str(self.certificates.ca),
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {TOKEN}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }


def collector(folder: Path, certificates: Certificates, **settings: str) -> Collector:
    """One whose settings are the file's but for ports, certificates and these."""
    grpc, health = free_port(), free_port()
    env = {
        "OTELCOL_TOKEN": TOKEN,
        "OTELCOL_GRPC_ENDPOINT": f"127.0.0.1:{grpc}",
        "OTELCOL_HTTP_ENDPOINT": f"127.0.0.1:{free_port()}",
        "OTELCOL_HEALTH_ENDPOINT": f"127.0.0.1:{health}",
        "OTELCOL_CERT_FILE": str(certificates.cert),
        "OTELCOL_KEY_FILE": str(certificates.key),
        "OTELCOL_QUEUE_DIR": str(folder / "queue"),
        "OTELCOL_TRACES_CA_FILE": str(certificates.ca),
        "OTELCOL_RETRY_LONGEST": "2s",
    }
    return Collector(folder, certificates, grpc, health, env | settings)


@dataclass(frozen=True, slots=True)
class Phoenix:
    """A Phoenix with authentication and TLS."""

    folder: Path
    certificates: Certificates
    http_port: int
    grpc_port: int

    @contextmanager
    def running(self) -> Iterator[None]:
        """It for the block, from when it answers."""
        env = {
            "PHOENIX_WORKING_DIR": str(self.folder),
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(self.http_port),
            "PHOENIX_GRPC_PORT": str(self.grpc_port),
            "PHOENIX_ENABLE_AUTH": "true",
            "PHOENIX_SECRET": SECRET,
            "PHOENIX_ADMIN_SECRET": ADMIN,
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
            "PHOENIX_TLS_ENABLED": "true",
            "PHOENIX_TLS_CERT_FILE": str(self.certificates.cert),
            "PHOENIX_TLS_KEY_FILE": str(self.certificates.key),
        }
        with running([str(PHOENIX), "serve"], env, self.folder / "phoenix.log"):
            eventually(lambda: self.status(ADMIN) in {200, 404}, within_s=START_S)
            yield

    def status(self, token: str) -> int:
        """What the API answers to a caller with this token; 0 for no answer."""
        try:
            self._get("/v1/projects", token)
        except urllib.error.HTTPError as refused:
            return refused.code
        except OSError:
            return 0
        return 200

    def spans(self) -> list[dict[str, Any]]:
        """All spans that it has."""
        try:
            found: list[dict[str, Any]] = self._get(
                f"/v1/projects/{PROJECT}/spans?limit=1000", ADMIN
            )["data"]
        except urllib.error.HTTPError:
            return []
        return found

    def _get(self, path: str, token: str) -> Any:
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.http_port}{path}",
            headers={"authorization": f"Bearer {token}"},
        )
        trusted = ssl.create_default_context(cafile=str(self.certificates.ca))
        with urllib.request.urlopen(  # noqa: S310 - https, as it says above
            request, context=trusted, timeout=10
        ) as answer:
            return json.load(answer)


def phoenix(folder: Path, certificates: Certificates) -> Phoenix:
    """One in a folder of its own."""
    return Phoenix(folder, certificates, free_port(), free_port())
