"""Decode raw messages into typed events; what the registry refuses becomes a dead letter in place.

Promise: every message that is no tick gives at least one event, in `(seq, ord)` order, and nothing
a sender writes can stop the flow. The registry (`walras_schemas`) decides what is valid; bids, the
bulk of the traffic, are first tried by a faster decoder that accepts a part of what the registry
accepts and never more.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import msgspec
from pydantic import TypeAdapter, ValidationError

import walras_schemas as registry
from state.log import BidPlaced, Event, EventSlice, Malformed, WindowSlice
from walras_schemas import BATCH_MAX, EVENT_ID_PATTERN, PAYLOAD_MAX_BYTES, TREASURY, subjects
from walras_schemas.names import is_name
from walras_schemas.subjects import Subject

_one_bid = msgspec.json.Decoder(BidPlaced)
_many_bids = msgspec.json.Decoder(list[BidPlaced])
_any_command: TypeAdapter[registry.Command] = TypeAdapter(registry.Command)
_parse_subject = lru_cache(maxsize=1 << 17)(subjects.parse)
_is_name = lru_cache(maxsize=1 << 12)(is_name)
_is_event_id = re.compile(EVENT_ID_PATTERN).fullmatch


def decode(raw: WindowSlice) -> EventSlice:
    """Give the slice's events in order; ticks leave none, whatever they carry."""
    columns = zip(raw.times_ns, raw.subjects, raw.payloads, strict=True)
    return EventSlice(
        shard=raw.shard,
        window_id=raw.window_id,
        first_seq=raw.first_seq,
        next_seq=raw.next_seq,
        stream_time_ns=raw.stream_time_ns,
        closes=raw.closes,
        events=[
            event
            for seq, (time_ns, subject, payload) in enumerate(columns, raw.first_seq)
            for event in _events(seq, time_ns, subject, payload)
        ],
    )


def _events(seq: int, time_ns: int, subject: str, payload: bytes) -> Iterator[Event]:
    parsed = _parse_subject(subject)
    if parsed is None:
        yield _dead(seq, 0, time_ns, Malformed(subject, "no such subject", payload))
        return
    if parsed.kind == "clock":
        return
    assert parsed.market is not None
    market, sender = parsed.market, parsed.agent or TREASURY
    commands = _bids(payload) if parsed.kind == "bid" else None
    for ord_, command in enumerate(commands or _commands(parsed, subject, payload)):
        if type(command) is Malformed:
            yield _dead(seq, ord_, time_ns, command)
        else:
            yield Event(seq, ord_, time_ns, market, sender, parsed.resource, command)


def _dead(seq: int, ord_: int, time_ns: int, letter: Malformed) -> Event:
    return Event(seq, ord_, time_ns, "", "", None, letter)


def _bids(payload: bytes) -> list[BidPlaced] | None:
    """The bids of a payload when it is surely valid and holds nothing else; None when unsure.

    The fast decoder keeps the last of two equal keys and takes a null for an absent field. Either
    brings at least two more quotation marks than the fields account for: counting finds them.
    """
    if len(payload) > PAYLOAD_MAX_BYTES or not payload.isascii() or b"\\" in payload:
        return None
    try:
        bids = _many_bids.decode(payload) if payload[:1] == b"[" else [_one_bid.decode(payload)]
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not 0 < len(bids) <= BATCH_MAX or not all(map(_is_sure, bids)):
        return None
    return bids if payload.count(b'"') == sum(map(_quotation_marks, bids)) else None


def _is_sure(bid: BidPlaced) -> bool:
    if _is_event_id(bid.event_id) is None or registry.bid_form_error(bid) is not None:
        return False
    return _is_name(bid.resource) if bid.resource else all(map(_is_name, bid.bundle or ()))


def _quotation_marks(bid: BidPlaced) -> int:
    """Quotation marks of the bid's JSON: two for a key, two for a text."""
    if bid.bundle is not None:
        return 12 + 2 * len(bid.bundle)  # type, event_id with texts; bundle, limit_micros
    return 16 if bid.min_quantity is None else 18


def _commands(subject: Subject, text: str, payload: bytes) -> Iterator[Any]:
    """The commands of a payload as the registry reads them, or what is wrong with each."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        yield Malformed(text, f"payload of {len(payload)} bytes is above the limit", payload)
        return
    try:
        document = json.loads(payload.decode(), **_STRICT_JSON)
    except (ValueError, RecursionError) as refused:
        yield Malformed(text, f"not JSON: {refused}", payload)
        return
    elements = document if isinstance(document, list) else [document]
    if not 0 < len(elements) <= BATCH_MAX:
        yield Malformed(text, f"a batch of {len(elements)} events", payload)
        return
    raws: list[bytes] | None = None
    for ord_, element in enumerate(elements):
        command = _command(subject, element)
        if isinstance(command, str):
            if raws is None:
                raws = _element_texts(payload) if isinstance(document, list) else [payload]
            yield Malformed(text, command, raws[ord_])
        else:
            yield command


def _command(subject: Subject, element: object) -> BidPlaced | registry.Command | str:
    """One command, or the reason why the registry refuses it."""
    if isinstance(element, _RepeatedKey):
        return f"key {ascii(element.key)[:_KEY_SHOWN]} is repeated"
    try:
        command = _any_command.validate_python(element)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{_path(first['loc'])}: {first['msg']}"
    if command.type not in subjects.TYPES_ON[subject.kind]:
        return f"{command.type} does not belong on a {subject.kind} subject"
    return _as_wire(command) if isinstance(command, registry.BidPlaced) else command


def _path(loc: tuple[int | str, ...]) -> str:
    """Where in the event the error is; a sender's own keys are escaped and cut short."""
    parts = (str(part) if _is_name(str(part)) else ascii(part)[:_KEY_SHOWN] for part in loc)
    return ".".join(parts) or "event"


def _as_wire(bid: registry.BidPlaced) -> BidPlaced:
    return msgspec.convert(
        bid.model_dump(include=set(BidPlaced.__struct_fields__) | {"type"}, exclude_none=True),
        BidPlaced,
    )


class _RepeatedKey:
    """Stands for an object whose keys are not distinct: no model accepts it."""

    def __init__(self, key: str) -> None:
        self.key = key


def _distinct(pairs: list[tuple[str, object]]) -> Mapping[str, object] | _RepeatedKey:
    mapping = dict(pairs)
    if len(mapping) == len(pairs):
        return mapping
    keys = [key for key, _ in pairs]
    return _RepeatedKey(next(key for key in keys if keys.count(key) > 1))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _bounded_int(digits: str) -> int:
    """Every number of the registry has at most 16 digits; a longer one is only known as too large.

    (Python refuses to convert more than 4 300 digits, which would condemn the whole batch.)
    """
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


_DIGITS_MAX = 30
_KEY_SHOWN = 80
_STRICT_JSON: dict[str, Any] = {
    "object_pairs_hook": _distinct,
    "parse_constant": _no_constant,
    "parse_int": _bounded_int,
}


def _element_texts(payload: bytes) -> list[bytes]:
    """The text of each element of a JSON array that is known to be well formed."""
    text = payload.decode()
    scanner = json.JSONDecoder(**_STRICT_JSON)
    texts, at = [], text.index("[") + 1
    while (at := _skip(text, at)) < len(text) and text[at] != "]":
        _, end = scanner.raw_decode(text, at)
        texts.append(text[at:end].encode())
        at = end
    return texts


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,":
        at += 1
    return at
