"""What an acknowledgement of the deployment's broker means, asked of the server itself."""

from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.deploy.compose import COMPOSE_FILE
from tests.deploy.test_compose import nats_service


def told_by(monitoring: str, path: str) -> dict[str, Any]:
    """What a server's monitoring port answers."""
    parts = urlsplit(monitoring)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=5)
    try:
        connection.request("GET", path)
        answer: dict[str, Any] = msgspec.json.decode(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def test_the_deployment_flushes_before_it_acknowledges(tmp_path: Path) -> None:
    """A power cut would take commands whose senders were sent an acknowledgement."""
    with nats_service(tmp_path) as (_, health):
        assert told_by(health, "/jsz")["config"].get("sync_always") is True
        assert 1_114_112 == told_by(health, "/varz")["max_payload"]


@pytest.mark.parametrize("file", ["deployment.conf", "nats.conf"])
def test_a_file_that_is_included_lies_beside_it(file: str) -> None:
    """The server looks for `nats.conf` in the folder of the file that includes it."""
    assert f"./connectors/nats/{file}:/etc/nats/{file}:ro" in COMPOSE_FILE.read_text()
