"""What the command line sends has an id that nobody else's message has."""

from typing import Final

from flows.cli.sending import checked, id_of_message
from walras_schemas import BidPlaced, message_id, subjects

BID: Final = {"resource": "tokens", "quantity": 1, "unit_price_micros": 1}


def test_an_id_names_market_and_sender() -> None:
    """By the event id alone the same bid in another market was dropped as a repetition."""
    bid = checked(BidPlaced, **BID)
    expected = message_id("m1", "a1", [bid.event_id])
    assert expected == id_of_message(subjects.bid("m1", "a1"), bid)
    others = [subjects.bid("m2", "a1"), subjects.bid("m1", "a2"), subjects.grant("m1")]
    assert 4 == len({expected, *(id_of_message(subject, bid) for subject in others)})
