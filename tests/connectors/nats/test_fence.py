"""Results of old windows, whose ids the server has forgotten; and who waits for a silent server."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nats.aio.client import Client

from connectors.embedded.nats_server import start_nats
from connectors.nats import publisher
from connectors.nats.api import NS_PER_S, ask
from connectors.nats.connection import LineLost, connected
from connectors.nats.loop import held, start, wait_for
from connectors.nats.publisher import open_publisher
from connectors.nats.streams import results_config
from connectors.nats.subjects import RESULTS
from state.errors import ServerUnreachable
from state.settlement import Announcement, Settlement
from tests.connectors.nats.logs import eventually, last_seq, make_streams

AT_ONCE_S = 5
FORGETS_AFTER_S = 0.2


@pytest.fixture
def forgetful(nc: Client) -> Client:
    """A stream of results that knows an id for a moment only."""
    make_streams(nc)
    wait_for(ask(nc, f"STREAM.DELETE.{RESULTS}"))
    config = results_config() | {"duplicate_window": int(FORGETS_AFTER_S * NS_PER_S)}
    wait_for(ask(nc, f"STREAM.CREATE.{RESULTS}", config))
    return nc


def window(window_id: int, *, age_s: float = 0) -> Settlement:
    return Settlement(
        shard=0,
        window_id=window_id,
        first_seq=1,
        next_seq=4,
        stream_time_ns=time.time_ns() - int(age_s * NS_PER_S),
        prev_digest=bytes(32),
        digest=bytes(32),
        bids=[],
        commands=[],
        dead_letters=[],
        prices=[],
        balances=[],
        listings=[],
    )


def results(window_id: int, agents: range) -> list[Announcement]:
    payload = b'{"window_id":%d}' % window_id
    return [Announcement(f"result.m1.a{a}", f"0:{window_id}:m1:a{a}", payload) for a in agents]


def forgotten() -> None:
    at_s = time.monotonic() + 2 * FORGETS_AFTER_S
    eventually(lambda: time.monotonic() > at_s)


def test_a_forgotten_id_is_told_twice(forgetful: Client, nats_url: str) -> None:
    """What the tests below would prove nothing without."""
    with open_publisher(nats_url) as opened:
        for _ in range(2):
            opened.publish(results(7, range(3)), of=window(7))
            forgotten()
    assert 6 == last_seq(forgetful, RESULTS)


def test_of_an_old_window_only_what_is_missing_leaves(forgetful: Client, nats_url: str) -> None:
    """A restart in the morning, a process that slept: each agent hears of a window once."""
    old = window(7, age_s=publisher.LATE_NS / NS_PER_S + 1)
    with open_publisher(nats_url) as opened:
        opened.publish(results(6, range(9)))
        opened.publish(results(7, range(3)))
        forgotten()
        opened.publish(results(7, range(9)), of=old)
        opened.publish(results(7, range(9)), of=old)
    assert 18 == last_seq(forgetful, RESULTS)


def test_what_was_told_after_a_window_says_that_the_window_was(
    forgetful: Client, nats_url: str
) -> None:
    """A sleeper that wakes up must not tell yesterday after today."""
    with open_publisher(nats_url) as opened:
        opened.publish(results(8, range(3)))
        opened.publish(results(7, range(3)), of=window(7, age_s=publisher.LATE_NS / NS_PER_S + 1))
    assert 3 == last_seq(forgetful, RESULTS)


def test_who_waits_for_a_silent_server_is_let_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The patience with an outage is minutes; a stop has seconds."""
    server = start_nats(tmp_path / "nats", shards=1)
    with ThreadPoolExecutor(1) as threads, open_publisher(server.url) as opened:
        server.stop()
        waiting = threads.submit(opened.publish, results(7, range(3)))
        eventually(lambda: caplog.records)
        opened.close()
        with pytest.raises(ServerUnreachable, match="the flow ended while it waited"):
            waiting.result(AT_ONCE_S)
        with pytest.raises(ServerUnreachable, match="the flow ended while it waited"):
            opened.publish(results(7, range(3)))


def test_a_lost_line_is_known_at_once(tmp_path: Path) -> None:
    """Seconds of silence before each repetition are seconds without a market."""
    server = start_nats(tmp_path / "nats", shards=1)
    with held(connected(server.url, name="test")) as line:
        asking = start(line.unless_lost(asyncio.sleep(60)))
        server.stop()
        with pytest.raises(LineLost):
            asking.result(AT_ONCE_S)
