"""What a ledger holds and what was published of it, in values that compare by `==`."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from connectors.nats.background_loop import run_sync
from connectors.nats.reader import read_log
from connectors.nats.subjects import RESULTS
from connectors.postgres.ledger.transaction import read_settlement, unpublished
from operators.results import result_messages
from state.shard import StreamIdentity
from state.window import OutboundMessage
from tests.crash.log import WINDOW_MS
from walras_client.nats.connection import Connection as NatsConnection
from walras_client.nats.jetstream import ask, nanos
from walras_client.nats.reader import Delivery

_numbers = count()

_WINDOWS = """
    SELECT window_id, first_seq, next_seq, encode(digest, 'hex') FROM ledger."window"
    ORDER BY shard, window_id
"""
_ACCOUNTS = "SELECT market, agent_id, balance_micros::bigint FROM ledger.account ORDER BY 1, 2"
_COUNTS = """
    SELECT (SELECT count(*) FROM ledger.bid), (SELECT count(*) FROM ledger.command),
        (SELECT count(*) FROM ledger.dead_letter), (SELECT count(*) FROM ledger.price)
"""


@dataclass(frozen=True, slots=True)
class Books:
    """A ledger: digest by digest, account by account, and how many rows."""

    windows: list[tuple[object, ...]]
    accounts: list[tuple[object, ...]]
    rows: tuple[object, ...] | None


def books(dsn: str) -> Books:
    with psycopg.connect(dsn, autocommit=True) as ledger:
        return Books(
            windows=ledger.execute(_WINDOWS).fetchall(),
            accounts=ledger.execute(_ACCOUNTS).fetchall(),
            rows=ledger.execute(_COUNTS).fetchone(),
        )


def published_up_to(ledger: Connection) -> int:
    """The last window whose results are out; -1 before the first."""
    row = ledger.execute("SELECT published_window FROM ledger.shard WHERE shard = 0").fetchone()
    return -1 if row is None or row[0] is None else int(row[0])


def claims_of(ledger: Connection) -> int:
    """How often the shard was claimed."""
    row = ledger.execute("SELECT token FROM ledger.shard WHERE shard = 0").fetchone()
    return 0 if row is None else int(row[0])


def read_up_to(ledger: Connection) -> int:
    """The sequence that is next to read."""
    row = ledger.execute("SELECT next_seq FROM ledger.shard WHERE shard = 0").fetchone()
    return 1 if row is None else int(row[0])


def due_results(dsn: str) -> dict[str, OutboundMessage]:
    """All results of a ledger that nobody has published, by message id."""
    with psycopg.connect(dsn, autocommit=True) as ledger:
        results = [
            result
            for window_id in unpublished(ledger, 0)
            for result in result_messages(
                read_settlement(ledger, 0, window_id), window_ms=WINDOW_MS
            )
        ]
    return {result.msg_id: result for result in results}


def published_results(nc: NatsConnection) -> list[OutboundMessage]:
    """Every result in its stream, in its order."""
    results: list[OutboundMessage] = []
    each_result(nc, results.append)
    return results


def each_result(nc: NatsConnection, take: Callable[[OutboundMessage], None]) -> None:
    """Hand over every result in its stream, in its order."""
    run_sync(_each_result(nc, take))


def duplicates(results: list[OutboundMessage]) -> list[str]:
    """The ids that came more than once."""
    return [msg_id for msg_id, times in Counter(r.msg_id for r in results).items() if times > 1]


async def _each_result(nc: NatsConnection, take: Callable[[OutboundMessage], None]) -> None:
    info = await ask(nc, f"STREAM.INFO.{RESULTS}")

    def take_message(msg: Delivery) -> None:
        if not msg.subject.startswith(b"told."):  # the mark of the last one
            take(OutboundMessage(msg.subject.decode(), msg.headers["Nats-Msg-Id"], msg.payload))

    stream = StreamIdentity(RESULTS, nanos(info["created"]))
    async with read_log(nc, stream, next_seq=1, on_message=take_message) as reader:
        while left := info["state"]["last_seq"] + 1 - reader.next_seq:
            await reader.pull(messages=left, max_bytes=1 << 24)


@contextmanager
def database(dsn: str, *, template: str = "template0") -> Iterator[str]:
    """A database for a block; the address of it."""
    name = f"crash_{next(_numbers)}"
    create = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(create)
    yield make_conninfo(dsn, dbname=name)
    drop(dsn, name)


def drop(dsn: str, name: str) -> None:
    """Drop a database and end its sessions."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
