"""Bad input at its journey's end: what Postgres holds is what was settled, to the last byte."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import commit_window
from connectors.postgres.migrate import migrate
from flows.testing import LogRecord, settle_log
from state.window import Settlement
from tests.badinput.json_texts import MUST_REFUSE
from tests.badinput.logs import COMMANDS, WINDOW_MS, as_payloads, in_every_field, in_every_subject
from tests.badinput.strings import STRINGS, as_stored
from tests.connectors.postgres.asking import rows_of_view
from tests.connectors.postgres.digest_page import window_digest
from tests.connectors.postgres.windows import claim_log, dead_letter, window

BYTES: Final = [text.encode(errors="surrogatepass") for text in STRINGS]


@pytest.fixture
def conn(postgres_dsn: str) -> Iterator[Connection]:
    """The ledger's own kind of connection to an empty ledger."""
    migrate(postgres_dsn)
    with connect(postgres_dsn) as opened:
        yield opened


def assert_round_trip(conn: Connection, records: list[LogRecord]) -> None:
    """Every window of the log is read back from the ledger as it was settled."""
    token = claim_log(conn).token
    for closed in settle_log(records, window_ms=WINDOW_MS).windows:
        assert commit_window(conn, closed, token=token) is True
        if isinstance(closed, Settlement):
            assert closed.digest.hex() == window_digest(conn, closed.shard, closed.window_id)


@pytest.mark.parametrize("kind", ["unit bid", "bundle", "transfer", "opening"])
def test_strings_in_fields(conn: Connection, kind: str) -> None:
    """A value that COPY cannot write stops its shard at every restart."""
    assert kind in COMMANDS
    assert_round_trip(conn, in_every_field(kind))


def test_strings_in_subjects(conn: Connection) -> None:
    """A dead letter's subject is the sender's own text, and goes into a text column."""
    assert_round_trip(conn, in_every_subject())


def test_payloads(conn: Connection) -> None:
    """An operator who looks for what went wrong needs the very bytes."""
    assert_round_trip(conn, as_payloads([*BYTES, *MUST_REFUSE]))


def test_strings_that_no_decoder_has_softened(conn: Connection) -> None:
    """The ledger must hold any text on its own, not by grace of the decoder before it."""
    token = claim_log(conn).token
    letters = [
        dead_letter(1 + number, text, BYTES[number], error=text)
        for number, text in enumerate(STRINGS)
    ]
    closed = replace(window(dead_letters=letters), next_seq=len(letters) + 1)
    assert commit_window(conn, closed, token=token) is True
    read = sorted(rows_of_view(conn, "dead_letters"), key=lambda row: row["seq"])
    assert [(as_stored(text), as_stored(text)) for text in STRINGS] == [
        (row["subject"], row["error"]) for row in read
    ]
    assert BYTES == [row["payload"] for row in read]
