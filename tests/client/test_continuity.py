"""A result follows on the last one only where nothing can lie between them."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.client.fake_market import FakeLedger, incomplete, lost, transferred
from walras_client import continuity, new_event_id, sent
from walras_client.continuity import Continuity
from walras_client.sent import Sent
from walras_schemas import BidOutcome, BidPlaced, CreditsTransferred


def bid() -> BidPlaced:
    return BidPlaced(event_id=new_event_id(), resource="tokens", quantity=1, unit_price_micros=1)


def ended(*seqs: int) -> Sequence[BidOutcome]:
    return [lost(new_event_id(), seq) for seq in seqs]


def begun(own: Sent | None = None, *, balance_micros: int = 100) -> tuple[Continuity, FakeLedger]:
    """A reader that has handed out one result, and the ledger with it."""
    ledger, reader = FakeLedger(), Continuity(own or Sent())
    reader.add(ledger.add(1, received_micros=balance_micros))
    return reader, ledger


@pytest.mark.parametrize(
    ("of_next", "follows"),
    [
        ({}, True),
        ({"received_micros": 5}, True),
        ({"outcomes": [lost(new_event_id(), 1).model_copy(update={"paid_micros": 9})]}, True),
        ({"given_micros": 1}, False),
    ],
)
def test_a_balance_has_to_add_up(of_next: dict[str, Any], *, follows: bool) -> None:
    """Whatever moved it beyond what the result says was in a window that was missed."""
    reader, ledger = begun()
    assert follows == reader.follows(ledger.add(2, **of_next))


def test_nothing_follows_on_an_unknown_balance() -> None:
    """Whatever came before could have been missed."""
    assert not Continuity(Sent()).follows(FakeLedger().add(1))


def test_what_lists_nothing_does_not_follow() -> None:
    """It may have the right balance by chance, and nothing in it can be checked."""
    reader, _ = begun(balance_micros=0)
    assert not reader.follows(incomplete(2, lost=1))


def test_own_transfers_are_counted() -> None:
    """An outcome names no amount: without it every transfer would be a question to the ledger."""
    own, gift = (
        Sent(),
        CreditsTransferred(event_id=new_event_id(), to_agent_id="a2", amount_micros=30),
    )
    own.add(7, [gift])
    reader, ledger = begun(own)
    assert reader.follows(ledger.add(2, [transferred(gift.event_id, 7)], given_micros=30))
    assert not reader.follows(ledger.add(3, [transferred(gift.event_id, 7)], given_micros=31))
    assert not reader.follows(ledger.add(4, [transferred(new_event_id(), 8)]))


def test_an_own_command_must_not_be_overtaken() -> None:
    """Windows close in the order of the log: its own is closed, and its result was missed."""
    own = Sent()
    reader, ledger = begun(own)
    for seq in (5, 9, 6):
        own.add(seq, [bid()])
    assert not reader.follows(ledger.add(2, ended(9)))
    assert reader.follows(ledger.add(2, ended(5, 6, 9)))
    assert (False, True) == (reader.lacks_before(5), reader.lacks_before(6))
    reader.add(ledger.add(2, ended(5, 6)))
    assert (False, True) == (reader.lacks_before(9), reader.lacks_before(10))
    reader.settle(10)
    assert not reader.lacks_before(100)
    assert 10 == reader.settled_seq


def test_an_acknowledgement_that_comes_late_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its window may have been passed by then: who looked only ahead would miss its result."""
    monkeypatch.setattr(sent, "COMMANDS", 1)
    own = Sent()
    reader, _ = begun(own)
    reader.settle(50)
    own.add(7, [bid()])
    assert reader.lacks_before(51)
    assert own.get(new_event_id()) is None


@pytest.mark.parametrize(("module", "limit"), [(continuity, "UNANSWERED_MAX"), (sent, "MESSAGES")])
def test_what_was_forgotten_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, module: Any, limit: str
) -> None:
    """Memory is bounded; a bound that hides a missed result would break the promise."""
    monkeypatch.setattr(module, limit, 3)
    own = Sent()
    reader, _ = begun(own)
    for seq in range(1, 6):
        own.add(seq, [bid()])
    assert reader.lacks_before(1)
    reader.settle(6)
    assert not reader.lacks_before(6)
