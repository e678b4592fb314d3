"""A log that was purged, cut or made anew: a loud stop that says what to do."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from shutil import copytree, rmtree

import pytest

from connectors.nats.background_loop import run_sync
from connectors.nats.topology import shard_config
from state.errors import LogError
from tests.crash.books import books
from tests.crash.server_pair import Market, ServerPair, market, server_pair
from tests.support.nats_logs import LOG_BYTES, last_seq
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask

LOG = "SHARD_0"

Harm = Callable[[Connection], None]


@pytest.fixture(scope="module")
def on() -> Iterator[ServerPair]:
    with server_pair() as made:
        yield made


@pytest.fixture
def place(on: ServerPair) -> Iterator[Market]:
    with market(on) as made:
        yield made


@pytest.fixture
def frail(on: ServerPair) -> Iterator[Market]:
    """A market whose log may be purged and cut, as a careless operator would make it."""
    with market(on) as made:
        run_sync(ask(made.nc, f"STREAM.DELETE.{LOG}"))
        make_frail_log(made.nc)
        yield made


def make_frail_log(nc: Connection) -> None:
    config = shard_config(0, shards=1, max_bytes=LOG_BYTES)
    run_sync(ask(nc, f"STREAM.CREATE.{LOG}", config | {"deny_delete": False, "deny_purge": False}))


def purge(nc: Connection) -> None:
    run_sync(ask(nc, f"STREAM.PURGE.{LOG}"))


def cut_out(nc: Connection) -> None:
    """Delete one message that nobody has settled yet."""
    run_sync(ask(nc, f"STREAM.MSG.DELETE.{LOG}", {"seq": last_seq(nc, LOG) - 5}))


def make_anew(nc: Connection) -> None:
    run_sync(ask(nc, f"STREAM.DELETE.{LOG}"))
    make_frail_log(nc)


@pytest.mark.parametrize(
    ("harm", "said", "to_do"),
    [
        (purge, "the log SHARD_0 has a gap", "restore the stream"),
        (cut_out, "the log SHARD_0 has a gap", "restore the stream"),
        (make_anew, "is not the one the ledger was built from", "Restore that stream"),
    ],
)
def test_a_start_over_a_harmed_log_is_refused(
    frail: Market, harm: Harm, said: str, to_do: str
) -> None:
    """To settle on would give windows without their bids, or those of a log that never was."""
    with frail.up() as up:
        frail.trade([0])
        frail.await_end()
        assert 0 == up.stop()
    settled = books(frail.dsn)
    frail.trade([1])
    harm(frail.nc)
    with frail.up() as up:
        assert LogError.exit_code == up.wait()
        assert (True, True) == (said in up.output, to_do in up.output)
    assert settled.windows == books(frail.dsn).windows[: len(settled.windows)]


def test_a_log_that_is_made_anew_under_a_deployment_stops_it(frail: Market) -> None:
    """The connection stays up, so that nothing but the log itself can show it."""
    with frail.up() as up:
        frail.trade([0])
        frail.await_end()
        settled = books(frail.dsn)
        make_anew(frail.nc)
        frail.trade([1])
        assert LogError.exit_code == up.wait()
        assert "is another one than the ledger was built from" in up.output
        assert "begin with an empty ledger" in up.output
    assert settled == books(frail.dsn)


@contextmanager
def set_back(on: ServerPair) -> Iterator[None]:
    """After the block the log is what it was before it, as from a copy of the server's folder."""
    kept = on.folder / "kept"
    with on.without("nats"):
        copytree(on.folder / "nats" / "jetstream", kept)
    yield
    with on.without("nats"):
        rmtree(on.folder / "nats" / "jetstream")
        kept.rename(on.folder / "nats" / "jetstream")


def test_a_log_that_was_set_back_and_written_to_since(on: ServerPair, place: Market) -> None:
    """It is as long as the ledger remembers it, and its last messages are other ones."""
    with place.up() as up, set_back(on):
        place.trade([0])
        place.await_end()
        assert 0 == up.stop()
    settled = books(place.dsn)
    place.trade([1, 2])
    with place.up() as up:
        assert LogError.exit_code == up.wait()
        assert "is another one than the ledger was built from" in up.output
    assert settled == books(place.dsn)


def test_a_log_that_was_set_back_under_a_deployment(on: ServerPair, place: Market) -> None:
    """The reader finds its place in the log again after the outage, and in it another message."""
    with place.up() as up:
        with set_back(on):
            place.trade([0])
            place.await_end()
            up.signal(signal.SIGSTOP)
        place.trade([1, 2])
        up.signal(signal.SIGCONT)
        assert LogError.exit_code == up.wait()
        assert "is another one than the ledger was built from" in up.output
