"""The service of questions at its edges: a NATS that goes silent under it."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.nats.request_reply import Endpoint, Reply, serving
from tests.support.proxy import dial_to, fault_proxy


def test_it_stops_while_nats_is_silent(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A deployment that is stopped in an outage ends cleanly: it has nothing more to lose."""
    caplog.set_level(logging.WARNING)

    async def play(url: str) -> bytes:
        echo = Endpoint("echo", "edge.echo", lambda _, payload: Reply(payload))
        with ThreadPoolExecutor(max_workers=1) as threads:
            async with (
                connected(nats_url, name="asker") as asker,
                serving(url, name="edge", endpoints=[echo], threads=threads),
            ):
                answer = await asker.request("edge.echo", b"hello", timeout=10)
                silence.enter_context(proxy.swallowing())
        return answer.data

    with ExitStack() as silence, open_on_loop(fault_proxy(dial_to(nats_url))) as proxy:
        assert asyncio.run(play(f"nats://127.0.0.1:{proxy.port}")) == b"hello"
    assert "edge stopped while NATS is unavailable" in caplog.text
