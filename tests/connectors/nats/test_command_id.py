"""A command has an id that nobody else's message has."""

from connectors.nats.commands import command_id
from walras_client import new_event_id
from walras_schemas import TREASURY, message_id, subjects


def test_an_id_names_market_and_sender() -> None:
    """By the event id alone the same bid in another market was dropped as a repetition."""
    bid = new_event_id()
    expected = message_id("m1", "a1", [bid])
    assert expected == command_id(subjects.bid("m1", "a1"), [bid])
    assert expected == command_id(subjects.transfer("m1", "a1"), [bid])
    assert message_id("m1", TREASURY, [bid]) == command_id(subjects.grant("m1"), [bid])
    others = [subjects.bid("m2", "a1"), subjects.bid("m1", "a2"), subjects.grant("m1")]
    assert 4 == len({expected, *(command_id(subject, [bid]) for subject in others)})
