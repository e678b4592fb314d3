"""`walras up` itself, as a supervisor would run it, replaced by another one."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from connectors.embedded.servers import Servers, embedded
from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from tests.crash.bench import replayed
from tests.crash.books import Books, books, read_up_to
from tests.crash.due import due_windows
from tests.crash.log import TICK, next_window, publish, write_window
from tests.crash.process import WITHIN_S
from tests.crash.windows import published_windows, wrong_windows
from tests.support.eventually import eventually
from tests.support.nats_logs import LOG_BYTES, last_seq
from tests.support.servers import open_folder
from tests.support.shell import Up, start_up
from walras_client.nats.connection import Connection

REPLACED = 5


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as made:
        yield made


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[Servers]:
    with embedded(folder / "servers", shards=1) as running, pytest.MonkeyPatch.context() as patch:
        # Without their record they are servers of one's own: there a successor takes over.
        (folder / "servers" / "servers.json").unlink()
        patch.setenv("WALRAS_NATS_URL", running.nats_url)
        patch.setenv("WALRAS_NATS_AUTH", "none")
        patch.setenv("WALRAS_POSTGRES_DSN", running.postgres_dsn)
        patch.setenv("WALRAS_STREAM_MAX_BYTES", str(LOG_BYTES))
        patch.setenv("WALRAS_HEALTH_PORT", "0")
        yield running


@pytest.fixture
def nc(servers: Servers) -> Iterator[Connection]:
    with open_on_loop(connected(servers.nats_url, name="test")) as opened:
        yield opened


def trade(servers: Servers, nc: Connection, number: int) -> None:
    """A window of trade; return when a deployment has settled all of it."""
    write_window(nc, number)
    next_window()
    publish(nc, [TICK])
    end = last_seq(nc, "SHARD_0")
    with psycopg.connect(servers.postgres_dsn, autocommit=True) as ledger:
        eventually(lambda: read_up_to(ledger) >= end, within_s=WITHIN_S)


def check(servers: Servers, nc: Connection, folder: Path) -> None:
    """The live ledger is what the log gives up to its position; nothing was published twice."""
    live = books(servers.postgres_dsn)
    with replayed(servers, folder) as dsn:
        again: Books = books(dsn)
    assert live.windows
    assert live.windows == again.windows[: len(live.windows)]
    with psycopg.connect(servers.postgres_dsn) as ledger:
        assert [] == wrong_windows(published_windows(nc), list(due_windows(ledger)))


def end_of(up: Up) -> tuple[int, list[str]]:
    """Its exit code and what it said on stderr, once it has ended by itself."""
    _, err = up.process.communicate(timeout=WITHIN_S)
    return up.process.returncode, err.splitlines()


def test_two_at_once(servers: Servers, nc: Connection, folder: Path) -> None:
    """A replacement is started before the old one is known to be dead: both write, or neither."""
    first = start_up()
    trade(servers, nc, 0)
    second = start_up()
    code, said = end_of(first)
    assert (REPLACED, "error: another process took over shard 0") == (code, said[0])
    assert "end it and start this one again" in said[2]
    trade(servers, nc, 1)
    assert None is second.process.poll()
    ended = second.stop(signal.SIGTERM)
    assert (0, True) == (ended.code, "another deployment runs on these servers" in ended.err)
    check(servers, nc, folder)
