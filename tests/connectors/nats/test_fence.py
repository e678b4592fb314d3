"""Results whose ids the server has forgotten are told once all the same; a silent server."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from connectors.embedded.nats_server import start_nats
from connectors.nats.background_loop import open_on_loop, run_sync, submit
from connectors.nats.connection import connected
from connectors.nats.fence import Fence, Mark
from connectors.nats.publisher import BATCH_MAX
from connectors.nats.results_publisher import ResultsPublisher, open_publisher
from connectors.nats.subjects import RESULTS, told_subject
from connectors.nats.topology import results_config
from state.errors import ServerUnreachable
from state.window import OutboundMessage
from tests.support.eventually import eventually
from tests.support.nats_logs import last_seq, make_streams
from walras_client.nats.connection import Connection
from walras_client.nats.errors import Disconnected
from walras_client.nats.jetstream import NS_PER_S, ask

AT_ONCE_S: Final = 5
FORGETS_AFTER_S: Final = 0.2
MARK: Final = 1
"""The message that each batch ends with."""


@pytest.fixture
def forgetful(nc: Connection) -> Connection:
    """A stream of results that knows an id for a moment only."""
    make_streams(nc)
    run_sync(ask(nc, f"STREAM.DELETE.{RESULTS}"))
    config = results_config() | {"duplicate_window": int(FORGETS_AFTER_S * NS_PER_S)}
    run_sync(ask(nc, f"STREAM.CREATE.{RESULTS}", config))
    return nc


def results(window_id: int, agents: range) -> list[OutboundMessage]:
    return [OutboundMessage(f"result.m1.a{a}", f"0:{window_id}:m1:a{a}", b"{}") for a in agents]


def tell(
    opened: ResultsPublisher, window_id: int, agents: range, *, ledger: str = "1/1000"
) -> None:
    opened.tell(0, results(window_id, agents), of=Mark(ledger, window_id, 0))


def forgotten() -> None:
    at_s = time.monotonic() + 2 * FORGETS_AFTER_S
    eventually(lambda: time.monotonic() > at_s)


def test_a_forgotten_id_keeps_nothing_out(forgetful: Connection, nats_url: str) -> None:
    """What the tests below would prove nothing without."""
    with open_publisher(nats_url) as opened:
        for _ in range(2):
            opened.publish(results(7, range(3)))
            forgotten()
    assert 6 == last_seq(forgetful, RESULTS)


def test_a_restart_tells_no_window_again(forgetful: Connection, nats_url: str) -> None:
    """A crash between publishing and remembering it, and a submit in the morning."""
    for _start in range(2):
        with open_publisher(nats_url) as opened:
            tell(opened, 7, range(3))
            forgotten()
    assert 3 + MARK == last_seq(forgetful, RESULTS)


def test_a_sleeper_tells_nothing_that_its_successor_told(
    forgetful: Connection, nats_url: str
) -> None:
    """It had looked where the results stand, slept, and sends what it was about to send."""
    with open_publisher(nats_url) as sleeper, open_publisher(nats_url) as successor:
        tell(sleeper, 6, range(3))
        tell(successor, 7, range(3))
        tell(successor, 8, range(3))
        forgotten()
        tell(sleeper, 7, range(3))
    assert 3 * (3 + MARK) == last_seq(forgetful, RESULTS)


def test_a_short_sleep_too(nc: Connection, nats_url: str) -> None:
    """While the server remembers the ids it refuses them before it looks at the fence."""
    make_streams(nc)
    with open_publisher(nats_url) as sleeper, open_publisher(nats_url) as successor:
        tell(sleeper, 6, range(3))
        tell(successor, 7, range(3))
        tell(sleeper, 7, range(3))
        tell(sleeper, 8, range(3))
    assert 3 * (3 + MARK) == last_seq(nc, RESULTS)


def test_two_who_begin_at_once(forgetful: Connection, nats_url: str) -> None:
    """Both found an empty stream; only one of two first batches can be right."""
    with open_publisher(nats_url) as one, open_publisher(nats_url) as other:
        one._fences[0] = other._fences[0] = Fence()  # noqa: SLF001 - both have looked already
        tell(one, 7, range(3))
        forgotten()
        tell(other, 7, range(3))
    assert 3 + MARK == last_seq(forgetful, RESULTS)


def test_of_a_window_that_is_half_told_the_rest_leaves(
    forgetful: Connection, nats_url: str
) -> None:
    """A window of many agents is several batches, and the crash came between two of them."""
    agents = range(2 * BATCH_MAX)
    first_part = range(BATCH_MAX - MARK)
    for told in (first_part, agents):
        with open_publisher(nats_url) as opened:
            tell(opened, 7, told)
            forgotten()
    assert len(agents) + 3 * MARK == last_seq(forgetful, RESULTS)


def test_another_ledger_counts_anew(forgetful: Connection, nats_url: str) -> None:
    """With longer windows their numbers are smaller: the old ones must not silence them."""
    with open_publisher(nats_url) as opened:
        tell(opened, 4000, range(3), ledger="1/250")
        tell(opened, 1000, range(3), ledger="1/1000")
    assert 2 * (3 + MARK) == last_seq(forgetful, RESULTS)


def test_what_a_stranger_wrote_is_no_mark(forgetful: Connection, nats_url: str) -> None:
    """Whoever reaches the port could stop a market with one word."""
    for junk in (b"", b"{}", b"nonsense"):
        run_sync(forgetful.jetstream().publish(told_subject(0), junk))
    with open_publisher(nats_url) as opened:
        tell(opened, 7, range(3))
    assert 3 + 3 + MARK == last_seq(forgetful, RESULTS)


def test_a_stream_of_results_that_is_made_anew(nc: Connection, nats_url: str) -> None:
    """The fence that the sender remembers is gone with it."""
    make_streams(nc)
    with open_publisher(nats_url) as opened:
        tell(opened, 7, range(3))
        run_sync(ask(nc, f"STREAM.DELETE.{RESULTS}"))
        make_streams(nc)
        tell(opened, 8, range(3))
    assert 3 + MARK == last_seq(nc, RESULTS)


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


def test_a_lost_connection_is_known_at_once(tmp_path: Path) -> None:
    """Seconds of silence before each repetition are seconds without a market."""
    server = start_nats(tmp_path / "nats", shards=1)
    with open_on_loop(connected(server.url, name="test")) as nc:
        asking = submit(nc.until_disconnected(asyncio.sleep(60)))
        server.stop()
        with pytest.raises(Disconnected):
            asking.result(AT_ONCE_S)
