"""Decode raw messages into typed events; what the registry refuses becomes a dead letter in place.

Promise: every message that is no tick gives at least one event, in `(seq, ord)` order, and nothing
a sender writes can stop the flow. The registry (`walras_schemas`) decides what is valid; bids, the
bulk of the traffic, are first tried by a faster decoder that accepts a part of what the registry
accepts and never more.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, NoReturn

import msgspec
from pydantic import TypeAdapter, ValidationError

import walras_schemas as registry
from state.accounts import Bid
from state.log import BidPlaced, Event, EventSlice, Malformed, WindowSlice, escape_for_storage
from walras_schemas import (
    BATCH_MAX,
    EVENT_ID_PATTERN,
    PAYLOAD_MAX_BYTES,
    TREASURY,
    BidStatus,
    subjects,
)
from walras_schemas.names import is_name
from walras_schemas.subjects import Subject


class _OtherCommand(msgspec.Struct, tag_field="type", tag=""):
    """Stands beside a bid, as the decoder lets the type of a struct that stands alone be absent."""


_one_bid = msgspec.json.Decoder(BidPlaced | _OtherCommand)
_many_bids = msgspec.json.Decoder(list[BidPlaced | _OtherCommand])
_any_command: TypeAdapter[registry.Command] = TypeAdapter(registry.Command)
_parse_subject = lru_cache(maxsize=1 << 17)(subjects.parse)
_is_name = lru_cache(maxsize=1 << 12)(is_name)
_is_event_id = re.compile(EVENT_ID_PATTERN).fullmatch


def decode(raw: WindowSlice) -> EventSlice:
    """Give the slice's events in order; ticks leave none, whatever they carry."""
    events: list[Event | Bid] = []
    columns = zip(raw.times_ns, raw.subjects, raw.payloads, strict=True)
    for seq, (time_ns, subject, payload) in enumerate(columns, raw.first_seq):
        parsed = _parse_subject(subject)
        if parsed is None:
            letter = _malformed(escape_for_storage(subject), "no such subject", payload)
            events.append(_dead(seq, 0, time_ns, letter))
        elif parsed.kind == "bid" and (bids := _bids(payload)):
            for ord_, placed in enumerate(bids):
                events.append(_bid(seq, ord_, time_ns, parsed, placed))
        elif parsed.kind != "clock":
            events += _by_registry(seq, time_ns, parsed, subject, payload)
    return EventSlice(
        shard=raw.shard,
        window_id=raw.window_id,
        first_seq=raw.first_seq,
        next_seq=raw.next_seq,
        stream_time_ns=raw.stream_time_ns,
        closes=raw.closes,
        events=events,
    )


def _by_registry(
    seq: int, time_ns: int, parsed: Subject, subject: str, payload: bytes
) -> Iterator[Event | Bid]:
    """The commands of a message as the registry judges them, each in its place."""
    assert parsed.market is not None
    market, sender = parsed.market, parsed.agent or TREASURY
    for ord_, command in enumerate(_commands(parsed, subject, payload)):
        if type(command) is BidPlaced:
            yield _bid(seq, ord_, time_ns, parsed, command)
        elif type(command) is Malformed:
            yield _dead(seq, ord_, time_ns, command)
        else:
            yield Event(seq, ord_, time_ns, market, sender, parsed.resource, command)


def _bid(seq: int, ord_: int, time_ns: int, on: Subject, placed: BidPlaced) -> Bid:
    """The bid of a command, not yet judged."""
    if placed.bundle is None:
        quantity, price, least = placed.quantity, placed.unit_price_micros, placed.min_quantity
    else:
        quantity, price, least = 1, placed.limit_micros, 1
    assert quantity is not None, "only the two forms of a bid get here"
    assert price is not None, "only the two forms of a bid get here"
    assert on.market is not None, "a bid's subject names its market"
    assert on.agent is not None, "a bid's subject names its agent"
    return Bid(
        seq,
        ord_,
        time_ns,
        on.market,
        on.agent,
        placed.event_id.lower(),
        placed.resource,
        quantity,
        price,
        least or 1,
        placed.bundle,
        BidStatus.REJECTED,
    )


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
        found = _many_bids.decode(payload) if payload[:1] == b"[" else [_one_bid.decode(payload)]
    except (msgspec.MsgspecError, RecursionError):
        return None
    if len(found) > BATCH_MAX:
        return None
    bids, quotation_marks = [], 0
    for bid in found:
        if type(bid) is not BidPlaced or not _is_certain(bid):
            return None
        bids.append(bid)
        quotation_marks += _quotation_marks(bid)
    return bids if payload.count(b'"') == quotation_marks else None


def _is_certain(bid: BidPlaced) -> bool:
    if _is_event_id(bid.event_id) is None or registry.bid_form_error(bid) is not None:
        return False
    return _is_name(bid.resource or "") if bid.bundle is None else all(map(_is_name, bid.bundle))


def _quotation_marks(bid: BidPlaced) -> int:
    """Quotation marks of the bid's JSON: two for a key, two for a text."""
    if bid.bundle is not None:
        return 12 + 2 * len(bid.bundle)  # type, event_id with texts; bundle, limit_micros
    return 16 if bid.min_quantity is None else 18


def _malformed(subject: str, error: str, whole: bytes) -> Malformed:
    """Why a message or an element was not decoded, with the beginning of it."""
    return Malformed(subject, error, whole[:LETTER_MAX_BYTES], len(whole))


def _commands(subject: Subject, text: str, payload: bytes) -> Iterator[Any]:
    """The commands of a payload as the registry reads them, or what is wrong with each."""
    if len(payload) > PAYLOAD_MAX_BYTES:
        yield _malformed(text, f"payload of {len(payload)} bytes is above the limit", payload)
        return
    if _is_too_deep(payload):
        yield _malformed(text, f"nested more than {NESTING_MAX} deep", payload)
        return
    try:
        document = json.loads(payload.decode(), **_STRICT_JSON)
    except ValueError as refused:
        yield _malformed(text, f"not JSON: {refused}", payload)
        return
    elements = document if isinstance(document, list) else [document]
    if not 0 < len(elements) <= BATCH_MAX:
        yield _malformed(text, f"a batch of {len(elements)} events", payload)
        return
    raws: list[bytes] | None = None
    for ord_, element in enumerate(elements):
        command = _command(subject, element)
        if isinstance(command, str):
            if raws is None:
                raws = _element_texts(payload) if isinstance(document, list) else [payload]
            yield _malformed(text, command, raws[ord_])
        else:
            yield command


def _command(subject: Subject, element: object) -> BidPlaced | registry.Command | str:
    """One command, or the reason why the registry refuses it."""
    if isinstance(element, _RepeatedKey):
        return f"key {_shown(element.key)} is repeated"
    try:
        command = _any_command.validate_python(element)
    except ValidationError as refused:
        first = refused.errors(include_url=False, include_context=False, include_input=False)[0]
        return f"{_path(first['loc'])}: {_shown(first['msg'])}"
    if command.type not in subjects.TYPES_ON[subject.kind]:
        return f"{command.type} does not belong on a {subject.kind} subject"
    return _as_wire(command) if isinstance(command, registry.BidPlaced) else command


def _path(loc: tuple[int | str, ...]) -> str:
    """Where in the event the error is."""
    return ".".join(_shown(str(part)) for part in loc) or "event"


def _shown(text: str) -> str:
    """Text that may be a sender's own, escaped and cut short: a ledger cannot hold every text."""
    return ascii(text)[1:-1][:_SHOWN]


def _is_too_deep(payload: bytes) -> bool:
    """Whether arrays and objects lie in each other more than `NESTING_MAX` deep.

    A JSON reader's own limit depends on how deep its stack already is, and so on the machine.
    """
    if payload.count(b"[") + payload.count(b"{") <= NESTING_MAX:
        return False
    marks = _BRACKET.finditer(_TEXT.sub(b"", payload))
    depths = accumulate(1 if mark[0] in b"[{" else -1 for mark in marks)
    return any(depth > NESTING_MAX for depth in depths)


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
    times = Counter(key for key, _ in pairs)
    return _RepeatedKey(next(key for key, count in times.items() if count > 1))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _bounded_int(digits: str) -> int:
    """Every number of the registry has at most 16 digits; a longer one is only known as too large.

    (Python refuses to convert more than 4 300 digits, which would condemn the whole batch.)
    """
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


NESTING_MAX = 100
LETTER_MAX_BYTES = 1024
_DIGITS_MAX = 30
_SHOWN = 256
# Possessive, and a text may end with the payload: no text, however ill, is read twice.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
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
