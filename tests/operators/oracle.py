"""What the decoder must answer, by the registry's own model behind a strict JSON reader.

**Promise:** the oracle shares no reader with `operators/decode.py`, so that the two can only agree
by meaning the same.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

import walras_schemas as registry
from operators.decode import decode
from state.bids import Bid
from state.log import Event, EventSlice, Malformed, WindowSlice
from state.names import Names
from walras_schemas import BATCH_MAX

BID_SUBJECT: Final = "market.m1.bid.a1"
FIRST_SEQ: Final = 7
any_command: TypeAdapter[registry.Command] = TypeAdapter(registry.Command)


def events_of(payload: bytes, subject: str = BID_SUBJECT) -> list[Event | Bid]:
    """The events of one message."""
    return events_of_all([(subject, payload)])


def events_of_all(messages: Sequence[tuple[str, bytes]]) -> list[Event | Bid]:
    """The events of several messages that are decoded together, in their order."""
    decoded = decode(
        WindowSlice(
            shard=0,
            window_id=0,
            first_seq=FIRST_SEQ,
            times_ns=[5] * len(messages),
            subjects=[subject for subject, _ in messages],
            payloads=[payload for _, payload in messages],
            stream_time_ns=5,
            closes=False,
        )
    )
    every: list[Event | Bid] = [*_bids(decoded), *decoded.events]
    return sorted(every, key=lambda event: (event.seq, event.ord))


def _bids(decoded: EventSlice) -> list[Bid]:
    """The bids as records, which name what the columns number; they stand in the log's order."""
    names = Names(accounts=decoded.senders.owners, resources=list(decoded.resources))
    bids = list(replace(decoded.bids, names=names))
    places = [(bid.seq, bid.ord) for bid in bids]
    assert sorted(places) == places
    return bids


class Refused(Exception):
    """What strict JSON does not allow."""


def pairs_apart(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Refused
    return dict(pairs)


def refuse(_: str) -> Any:
    raise Refused


def read_strictly(payload: bytes) -> Any:
    return json.loads(payload.decode("utf-8"), object_pairs_hook=pairs_apart, parse_constant=refuse)


def read_by_registry(document: Any) -> Any:
    """A bid's wire fields, a withdrawal as it is, or None for what the registry refuses."""
    try:
        command = any_command.validate_python(document)
    except ValidationError:
        return None
    if isinstance(command, registry.BidPlaced):
        fields = command.model_dump(exclude={"version", "timestamp", "scenario_id"})
        bid = {key: value for key, value in fields.items() if value is not None}
        return bid | {"event_id": command.event_id.lower()}
    return command if isinstance(command, registry.BidWithdrawn) else None


def read_by_decoder(event: Event | Bid) -> Any:
    """The same of what was decoded."""
    if isinstance(event, Event):
        return None if isinstance(event.command, Malformed) else event.command
    bid = {"type": "bid_placed", "event_id": event.event_id}
    if event.bundle is not None:
        return bid | {"bundle": event.bundle, "limit_micros": event.limit_micros}
    return bid | {
        "resource": event.resource,
        "quantity": event.quantity,
        "unit_price_micros": event.unit_price_micros,
        "min_quantity": event.min_quantity,
    }


def letters_of(payload: bytes, subject: str = BID_SUBJECT) -> list[Malformed]:
    """The dead letters among the events of one message."""
    events = [event for event in events_of(payload, subject) if isinstance(event, Event)]
    return [event.command for event in events if isinstance(event.command, Malformed)]


def kinds_of(payload: bytes) -> list[type]:
    """Whether each event of a bid's message is a bid, a dead letter or another command."""
    events = events_of(payload)
    return [type(event.command if isinstance(event, Event) else event) for event in events]


def assert_as_registry(payload: bytes) -> None:
    """The decoder gives what the oracle gives, event by event."""
    decoded = [read_by_decoder(event) for event in events_of(payload)]
    try:
        document = read_strictly(payload)
    except (Refused, ValueError):
        # A repeated key spoils one element, no more: the tests below cover it.
        assert None in decoded
        return
    elements = document if isinstance(document, list) else [document]
    if not 0 < len(elements) <= BATCH_MAX:
        elements = [None]
    assert [read_by_registry(element) for element in elements] == decoded
