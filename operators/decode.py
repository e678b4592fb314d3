"""Decode raw messages into bids and events; what the registry refuses becomes a dead letter.

Promise: every message that is no tick gives at least one bid or event, in its place, and nothing a
sender writes can stop the flow. Bids, the bulk of the traffic, are decoded many at once
(`operators/columns.py`), all else and every odd message by the registry (`operators/strict.py`).
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.columns import Messages, ResourceNumbers, decode_bids
from operators.strict import malformed, read_message
from state.bids import BUNDLE, UUID_BYTES, Bids, Int32s, empty_columns, event_id_bytes
from state.log import (
    Event,
    EventSlice,
    Malformed,
    MeterMessage,
    WindowSlice,
    escape_for_storage,
)
from state.names import Senders
from walras_schemas import TREASURY, BidPlaced, MeterEvent, subjects

TICK: Final = -1
OTHER: Final = -2
SUBJECTS_MAX: Final = 1 << 20
"""So many subjects are known by their numbers before all are forgotten."""


class _Subjects(dict[str, int]):
    """Subject to the number of who may bid on it, by first mention; or `TICK`, or `OTHER`.

    A cache of this process: numbers mean something together with `senders` alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.senders = Senders()

    def __missing__(self, subject: str) -> int:
        parsed = subjects.parse(subject)
        number = OTHER
        if parsed is not None and parsed.kind == "clock":
            number = TICK
        elif parsed is not None and parsed.kind == "bid":
            assert parsed.market is not None
            assert parsed.agent is not None
            number = self.senders.add(parsed.market, parsed.agent)
        self[subject] = number
        return number


_known_subjects = [_Subjects()]


def _subjects() -> _Subjects:
    """The cache, a new one when the old one has grown too large."""
    if len(_known_subjects[0]) > SUBJECTS_MAX:
        _known_subjects[0] = _Subjects()
    return _known_subjects[0]


class _Place(NamedTuple):
    """Where an event stands in the log, and when its message came."""

    seq: int
    ord: int
    time_ns: int


class _Row(NamedTuple):
    """A bid that the registry read: one row of `Bids`."""

    seq: int
    ord: int
    time_ns: int
    account: int
    event_id: bytes
    resource: int
    quantity: int
    unit_price_micros: int
    min_quantity: int


@dataclass(slots=True)
class _Alone:
    """What the registry made of messages that were decoded alone."""

    rows: list[_Row] = field(default_factory=list)
    bundles: dict[int, dict[str, int]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    meter_messages: list[MeterMessage] = field(default_factory=list)


def decode(raw: WindowSlice) -> EventSlice:
    """Give the slice's bids and events in order; ticks leave none, whatever they carry."""
    known, resources = _subjects(), ResourceNumbers()
    numbers = np.fromiter(map(known.__getitem__, raw.subjects), np.int32, len(raw.subjects))
    on_bids = np.flatnonzero(numbers >= 0)
    bids, odd = _decode_jointly(raw, numbers, on_bids, resources)
    alone = _Alone()
    for at in sorted([*on_bids[odd].tolist(), *np.flatnonzero(numbers == OTHER).tolist()]):
        _read_alone(raw, at, int(numbers[at]), resources, alone)
    return EventSlice(
        shard=raw.shard,
        window_id=raw.window_id,
        first_seq=raw.first_seq,
        next_seq=raw.next_seq,
        stream_time_ns=raw.stream_time_ns,
        closes=raw.closes,
        bids=_merged(bids, alone),
        senders=known.senders,
        resources=resources.names,
        events=alone.events,
        meter_messages=alone.meter_messages,
    )


def _decode_jointly(
    raw: WindowSlice, numbers: Int32s, on_bids: NDArray[np.intp], resources: ResourceNumbers
) -> tuple[Bids, list[int]]:
    every = len(on_bids) == len(raw.payloads)
    payloads = raw.payloads if every else [raw.payloads[at] for at in on_bids.tolist()]
    messages = Messages(
        seq=raw.first_seq + on_bids,
        time_ns=np.array(raw.times_ns, dtype=np.int64)[on_bids],
        sender=numbers[on_bids],
        payloads=payloads,
    )
    return decode_bids(messages, resources)


def _read_alone(
    raw: WindowSlice, at: int, sender: int, resources: ResourceNumbers, alone: _Alone
) -> None:
    """Read one message by the registry: each of its commands in its place."""
    subject, first = raw.subjects[at], _Place(raw.first_seq + at, 0, raw.times_ns[at])
    parsed = subjects.parse(subject)
    if parsed is None or parsed.market is None:
        letter = malformed(escape_for_storage(subject), "no such subject", raw.payloads[at])
        alone.events.append(_dead(first, letter))
        return
    speaker = parsed.agent or TREASURY
    for ord_, command in enumerate(read_message(parsed, subject, raw.payloads[at])):
        place = first._replace(ord=ord_)
        if isinstance(command, Malformed):
            alone.events.append(_dead(place, command))
        elif isinstance(command, BidPlaced):
            alone.rows.append(_row(place, sender, command, resources))
            if command.bundle is not None:
                alone.bundles[len(alone.rows) - 1] = dict(command.bundle)
        elif isinstance(command, MeterEvent):
            assert parsed.meter is not None
            alone.meter_messages.append(MeterMessage(*place, parsed.market, parsed.meter, command))
        else:
            event = Event(*place, parsed.market, speaker, parsed.resource, command)
            alone.events.append(event)


def _row(place: _Place, sender: int, bid: BidPlaced, resources: ResourceNumbers) -> _Row:
    event_id = event_id_bytes(bid.event_id)
    if bid.resource is None:
        assert bid.limit_micros is not None, "a bundle has a limit"
        return _Row(*place, sender, event_id, BUNDLE, 1, bid.limit_micros, 1)
    assert bid.quantity is not None, "a unit bid has a quantity"
    assert bid.unit_price_micros is not None, "and a price"
    asked = (bid.quantity, bid.unit_price_micros, bid.min_quantity or 1)
    return _Row(*place, sender, event_id, resources[bid.resource], *asked)


def _dead(place: _Place, letter: Malformed) -> Event:
    return Event(*place, "", "", None, letter)


def _merged(bids: Bids, alone: _Alone) -> Bids:
    """All bids of the slice, in (seq, ord) order."""
    if not alone.rows:
        return bids
    columns = dict(zip(_Row._fields, zip(*alone.rows, strict=True), strict=True))
    ids = np.frombuffer(b"".join(columns["event_id"]), dtype=np.uint8)
    typed = {
        name: np.array(columns[name], dtype=like.dtype)
        for name, like in empty_columns().items()
        if name != "event_id"
    }
    odd = Bids.of(typed | {"event_id": ids.reshape(-1, UUID_BYTES)}, dict(alone.bundles))
    both = Bids.joined([bids, odd], bids.names)
    return both.taken(np.lexsort((both.ord, both.seq)))
