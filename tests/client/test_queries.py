"""The questions and their subjects, as programs in any language may write them."""

from typing import Final

import pytest
from pydantic import ValidationError

from flows.queries.service import fitted
from tests.client.fake_market import FakeLedger, lost, written
from walras_client import new_event_id
from walras_schemas import (
    PAYLOAD_MAX_BYTES,
    QUERIES,
    HistoryQuery,
    HistoryReply,
    QueryErrorReason,
    queries,
)
from walras_schemas.queries import QUERY_SUBJECTS, QuerySubject, parse_subject

REPLIES: Final = {"balance_reply", "history_reply", "prices_reply", "query_error"}


def test_a_subject_reads_back_as_it_was_built() -> None:
    """A question about another agent's money would be answered to the wrong one."""
    expected = [
        QuerySubject("balance", "m1", "a1"),
        QuerySubject("history", "m1", "a1"),
        QuerySubject("prices", "m1"),
    ]
    built = [
        queries.balance_subject("m1", "a1"),
        queries.history_subject("m1", "a1"),
        queries.prices_subject("m1"),
    ]
    assert expected == [parse_subject(subject) for subject in built]
    assert [subject.split(".")[1] for subject in built] == list(QUERY_SUBJECTS)


@pytest.mark.parametrize(
    "subject",
    [
        "query.balance.m1",
        "query.balance.m1.a1.x",
        "query.balance.M1.a1",
        "query.balance.m1.treasury",
        "query.history.m1.house",
        "query.prices.m1.a1",
        "query.prices.*",
        "query.secrets.m1",
        "market.m1.bid.a1",
        "",
    ],
)
def test_any_other_subject_is_none(subject: str) -> None:
    """What is taken for a name and is none ends in the ledger's queries."""
    assert parse_subject(subject) is None


@pytest.mark.parametrize(("market", "agent"), [("m.1", "a1"), ("m1", "*"), ("m1", "treasury")])
def test_no_subject_is_built_of_what_is_no_name(market: str, agent: str) -> None:
    """A name with a dot or a star would ask about somebody else."""
    with pytest.raises(ValueError, match="no subject of a question"):
        queries.balance_subject(market, agent)


@pytest.mark.parametrize(
    "question",
    [
        '{"type": "history_query", "limit": 0}',
        '{"type": "history_query", "limit": 1001}',
        '{"type": "history_query", "limit": true}',
        '{"type": "history_query", "before_window": -1}',
        '{"type": "history_query", "before_window": null}',
        '{"type": "history_query", "after": 1}',
        '{"type": "history_query", "after_window": 1, "after_part": 1}',
        '{"type": "balance_query"}',
        '{"limit": 5}',
        "{}",
        "[]",
    ],
)
def test_a_question_is_strict(question: str) -> None:
    """A misspelt limit that is ignored gives an answer to another question."""
    with pytest.raises(ValidationError):
        HistoryQuery.model_validate_json(question)


def test_what_is_absent_stays_off_the_wire() -> None:
    """The service refuses a null: a client that writes one could never ask."""
    question = HistoryQuery(before_window=7)
    written = question.model_dump_json()
    assert '{"version":1,"type":"history_query","before_window":7,"limit":100}' == written
    assert question == HistoryQuery.model_validate_json(written)


@pytest.mark.parametrize("name", QUERIES)
def test_every_message_has_a_schema_of_its_type(name: str) -> None:
    """Agents in other languages have nothing but the schema."""
    schema = QUERIES[name].model_json_schema()
    assert name == schema["properties"]["type"]["const"]
    assert "type" in schema["required"]
    assert (name in REPLIES) == (len(schema["required"]) > 1)


def test_reasons_are_words_a_program_can_match() -> None:
    """They are part of the protocol: a renamed one breaks who matches it."""
    expected = ["malformed", "unknown_market", "unknown_agent", "unavailable"]
    assert expected == [str(reason) for reason in QueryErrorReason]


def page(first: int, *, bids: int, windows: int) -> HistoryReply:
    """Windows of so many lost bids each."""
    ledger = FakeLedger()
    for window_id in range(first, first + windows):
        ledger.add(window_id, [lost(new_event_id(), seq) for seq in range(1, bids + 1)])
    return HistoryReply(market="m1", agent_id="a1", results=ledger.results)


def test_a_page_of_history_fits_into_one_message() -> None:
    """A reply that is too long for NATS never comes, and the agent asks for ever."""
    reply = page(1, bids=2000, windows=9)
    forward = fitted(reply, HistoryQuery(after_window=0))
    backward = fitted(reply, HistoryQuery())
    count = len(forward.results)
    assert 1 < count < 9
    assert reply.results[:count] == forward.results
    assert reply.results[-count:] == backward.results
    assert (
        len(written(forward))
        <= PAYLOAD_MAX_BYTES
        < len(written(page(1, bids=2000, windows=count + 1)))
    )


def test_a_page_that_fits_is_whole() -> None:
    """A page that is cut for nothing is another question for each window."""
    reply = page(1, bids=3, windows=1000)
    assert reply == fitted(reply, HistoryQuery()) == fitted(reply, HistoryQuery(after_window=0))
    empty = page(1, bids=0, windows=0)
    assert empty == fitted(empty, HistoryQuery()) == fitted(empty, HistoryQuery(after_window=7))
