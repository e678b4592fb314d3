"""Past results are read from the ledger in the form in which they were published."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from msgspec import structs
from psycopg import Connection

from connectors.postgres.reads import history
from connectors.postgres.reads.queries import LedgerReader, open_reader
from operators.results import agent_results
from state.window import ClosedWindow, Settlement
from tests.connectors.postgres.settled import commit_all, settled
from tests.connectors.postgres.windows import (
    START_WINDOW,
    balances,
    busy_window,
    grant,
    listing,
    lost,
    price,
    transfer,
    window,
    won,
)
from tests.operators.steps import settlements
from walras_schemas import HistoryQuery, HistoryReply, QueryError, QueryErrorReason

Result = dict[str, Any]
Owner = tuple[str, str]
EVERYTHING: Final = 1000


@pytest.fixture
def reader(dsn: str) -> Iterator[LedgerReader]:
    with open_reader(dsn) as opened:
        yield opened


def published(windows: Sequence[ClosedWindow]) -> dict[Owner, list[Result]]:
    """Each agent's results as they were published, oldest first."""
    results: defaultdict[Owner, list[Result]] = defaultdict(list)
    for closed in settlements(windows):
        for message in agent_results(closed):
            result = json.loads(message.payload)
            results[result["market"], result["agent_id"]].append(result)
    return dict(results)


def read(reader: LedgerReader, owner: Owner, **query: int) -> list[Result]:
    """A page of an agent's past results as it is sent."""
    reply = reader.history(*owner, HistoryQuery.model_validate(query))
    assert isinstance(reply, HistoryReply), reply
    return [json.loads(result.model_dump_json(exclude_none=True)) for result in reply.results]


def opened(windows: Sequence[ClosedWindow]) -> set[str]:
    """The markets that were ever opened."""
    return {listing.market for closed in settlements(windows) for listing in closed.listings}


@pytest.mark.parametrize("seed", range(4))
def test_history_is_what_was_published(conn: Connection, reader: LedgerReader, seed: int) -> None:
    """An agent that missed a result must find the very same one, field by field."""
    windows = settled(seed)
    commit_all(conn, windows)
    known = opened(windows)
    expected = {who: each for who, each in published(windows).items() if who[0] in known}
    assert len(expected) > 10
    for owner, results in expected.items():
        assert results == read(reader, owner, limit=EVERYTHING), owner


@pytest.mark.parametrize("limit", [1, 3])
def test_pages_join_in_both_directions(conn: Connection, reader: LedgerReader, limit: int) -> None:
    """A window between two pages would be lost, one in both be handled twice."""
    windows = settled(7, commands=400)
    commit_all(conn, windows)
    owner, expected = max(published(windows).items(), key=lambda item: len(item[1]))
    forward, backward = list[Result](), list[Result]()
    while page := read(
        reader, owner, limit=limit, after_window=forward[-1]["window_id"] if forward else 0
    ):
        forward += page
    while page := read(
        reader,
        owner,
        limit=limit,
        **({"before_window": backward[0]["window_id"]} if backward else {}),
    ):
        backward = page + backward
    assert len(expected) > 2 * limit
    assert [expected, expected] == [forward, backward]


def two_windows(bids: int) -> list[Settlement]:
    """One window with a few bids of a1 and a refused transfer, and one with many bids."""
    first = busy_window()
    many = [structs.replace(lost(11 + at // 1000, "a1"), ord=at % 1000) for at in range(bids)]
    paid = won(19, "a1", 1, 9)
    second = window(
        after=first,
        bids=[*many, paid],
        commands=[transfer(20, "a1", "a2", 1)],
        balances=balances(a1=60, a2=51, house=39),
        prices=[price()],
    )
    return [first, second]


def test_a_result_too_large_for_a_message_is_counted(
    conn: Connection, reader: LedgerReader
) -> None:
    """Whole, it would be refused by the broker; and it must be counted as when it was published."""
    windows = two_windows(6000)
    commit_all(conn, windows)
    expected = published(windows)["m1", "a1"]
    assert [True, False] == [result["complete"] for result in expected]
    assert expected == read(reader, ("m1", "a1"))


def test_a_window_of_more_rows_than_a_page_is_counted(
    conn: Connection, reader: LedgerReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are not read; the windows beside it are, on pages of their own."""
    windows = two_windows(6000)
    commit_all(conn, windows)
    monkeypatch.setattr(history, "PAGE_ROWS", 5000)
    first, second = published(windows)["m1", "a1"]
    assert [second] == read(reader, ("m1", "a1"))
    assert [first] == read(reader, ("m1", "a1"), before_window=START_WINDOW + 1)
    assert [first] == read(reader, ("m1", "a1"), after_window=0)


def test_balances_of_the_past(conn: Connection, reader: LedgerReader) -> None:
    """With the current balance, a window of yesterday would show a state that never was."""
    first = busy_window()
    second = window(
        after=first,
        commands=[transfer(12, "a1", "a2", 20), grant(13, "a1", 10**15)],
        balances=balances(a1=50 + 10**15, a2=70, treasury=-150 - 10**15),
        prices=[price()],
    )
    third = window(after=second, bids=[lost(21, "a1")], prices=[price()])
    commit_all(conn, [first, second, third])
    micros = [result["balance_micros"] for result in read(reader, ("m1", "a1"))]
    assert [70, 50 + 10**15, 50 + 10**15] == micros


def test_an_agent_without_credits_has_results(conn: Connection, reader: LedgerReader) -> None:
    """What it sent was refused, and the refusal may be what it missed."""
    closed = window(bids=[lost(1, "poor")], listings=[listing()], prices=[price()])
    commit_all(conn, [closed])
    (result,) = read(reader, ("m1", "poor"))
    assert (0, 1) == (result["balance_micros"], len(result["outcomes"]))
    balance = reader.balance("m1", "poor")
    assert isinstance(balance, QueryError)
    assert QueryErrorReason.UNKNOWN_AGENT == balance.reason


@pytest.mark.parametrize(
    ("market", "agent", "reason"),
    [
        ("m1", "nobody", QueryErrorReason.UNKNOWN_AGENT),
        ("m9", "a1", QueryErrorReason.UNKNOWN_MARKET),
    ],
)
def test_unknown_names(
    conn: Connection, reader: LedgerReader, market: str, agent: str, reason: QueryErrorReason
) -> None:
    """A mistyped name must not look like an agent that never won."""
    commit_all(conn, [busy_window()])
    replies = [reader.history(market, agent, HistoryQuery()), reader.balance(market, agent)]
    assert [reason, reason] == [each.reason for each in replies if isinstance(each, QueryError)]


def test_last_prices(conn: Connection, reader: LedgerReader) -> None:
    """A reserve in place of a price is a wrong price."""
    commit_all(conn, [busy_window()])
    reply = reader.prices("m1")
    assert {
        "resource": "gpu",
        "reference_micros": 10,
        "reserve_micros": 2,
        "clearing_micros": 10,
        "supply": 100,
        "demanded": 5,
        "wanted": 4,
        "sold": 3,
        "stale": False,
    } == json.loads(reply.model_dump_json())["prices"][0]
