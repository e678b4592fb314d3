"""A server that is away, silent or set back: the flow waits, logs it once, and resumes."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from flows.runtime.health import measure
from state.errors import LogGap
from tests.crash.process import WITHIN_S, Limits, servers_of
from tests.crash.server_pair import Market, ServerPair, market, server_pair
from tests.support.eventually import eventually

RETRYING = "server unavailable, retrying"
SHORT = Limits(postgres_s=0.3, nats_s=0.3)
HASTY = Limits(grace_s=1)
STOPPED_WITHIN_S = 30
"""Far below the patience with a server, far above what a busy machine makes of a second."""


@pytest.fixture(scope="module")
def on() -> Iterator[ServerPair]:
    with server_pair() as made:
        yield made


@pytest.fixture
def place(on: ServerPair) -> Iterator[Market]:
    with market(on) as made:
        yield made


def troubles(place: Market) -> str:
    """What health says."""
    return " ".join(measure(place.settings, servers_of(place.settings)).problems)


def test_postgres_is_away_for_longer_than_the_flow_waits(on: ServerPair, place: Market) -> None:
    """A market that ends with its database's restart is down until somebody wakes up."""
    with place.up(SHORT) as up:
        place.trade([0])
        place.await_end()
        with on.without("postgres"):
            place.trade([1, 2])
            eventually(lambda: RETRYING in up.output, within_s=WITHIN_S)
            assert "Postgres does not answer" in troubles(place)
            assert up.runs
        place.await_end()
        assert "" == troubles(place)
        assert (1, 1) == (
            up.output.count(RETRYING),
            up.output.count("servers available again"),
        )
        assert 0 == up.stop()
    place.check()


def test_nats_is_away_for_longer_than_the_flow_waits(on: ServerPair, place: Market) -> None:
    """Nobody can bid meanwhile, but what was bid before must be settled and published."""
    with place.up(SHORT) as up:
        place.trade([0, 1])
        with on.without("nats"):
            eventually(lambda: RETRYING in up.output, within_s=WITHIN_S)
            assert "NATS cannot be reached" in troubles(place)
            assert up.runs
        place.trade([2])
        place.await_end()
        assert (1, 1) == (
            up.output.count(RETRYING),
            up.output.count("servers available again"),
        )
        assert 0 == up.stop()
    place.check()


@pytest.mark.parametrize("server", ["nats", "postgres"])
def test_a_restart_of_a_server_ends_no_run(on: ServerPair, place: Market, server: str) -> None:
    """Within its patience the flow resumes where it was, with no claim and no second reading."""
    with place.up() as up:
        place.trade([0])
        place.await_end()
        with on.without(server):
            pass
        place.trade([1])
        place.await_end()
        assert RETRYING not in up.output
        assert 0 == up.stop()
    place.check()


@pytest.mark.parametrize("server", ["nats", "postgres"])
@pytest.mark.parametrize("how", ["without", "frozen"])
def test_a_stop_does_not_wait_for_a_server(
    on: ServerPair, place: Market, server: str, how: str
) -> None:
    """A supervisor that kills what does not stop in time counts it as a crash."""
    with place.up(HASTY) as up:
        place.trade([0])
        place.await_end()
        place.trade([1])
        with getattr(on, how)(server):
            if server == "postgres":
                place.trade([2])
            assert 0 == up.stop(within_s=STOPPED_WITHIN_S)
    with place.up() as successor:
        place.await_end()
        assert 0 == successor.stop()
    place.check()


def test_postgres_set_back_to_an_earlier_state(on: ServerPair, place: Market) -> None:
    """A restored backup is older than the log: what came after it must be settled again, alike."""
    dump = str(on.folder / "dump")
    with place.up() as up:
        place.trade([0, 1])
        place.await_end()
        on.run("pg_dump", "-Fc", "-f", dump, "-d", name_of(place), dsn=place.dsn)
        place.trade([2, 3])
        place.await_end()
        assert 0 == up.stop()
    restore(on, place, dump)
    with place.up() as up:
        place.await_end()
        assert 0 == up.stop()
    place.check()


def test_postgres_set_back_under_a_running_deployment(on: ServerPair, place: Market) -> None:
    """It judged later windows from balances that the ledger no longer has: it must not write."""
    dump = str(on.folder / "dump")
    with place.up() as up:
        place.trade([0])
        place.await_end()
        on.run("pg_dump", "-Fc", "-f", dump, "-d", name_of(place), dsn=place.dsn)
        place.trade([1])
        place.await_end()
        restore(on, place, dump)
        place.trade([2])
        assert LogGap.exit_code == up.wait()
        assert "If the ledger was set back to an earlier state, start again" in up.output
    with place.up() as up:
        place.await_end()
        assert 0 == up.stop()
    place.check()


def name_of(place: Market) -> str:
    with psycopg.connect(place.dsn) as ledger:
        return ledger.info.dbname


def restore(on: ServerPair, place: Market, dump: str) -> None:
    """Put the dump in the place of the database, whole and at once, as a guide says to."""
    name = Identifier(name_of(place))
    with psycopg.connect(on.postgres.dsn, autocommit=True) as owner:
        owner.execute("CREATE DATABASE restored")
        on.run("pg_restore", "-d", "restored", dump, dsn=place.dsn)
        owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        owner.execute(SQL("ALTER DATABASE restored RENAME TO {}").format(name))
