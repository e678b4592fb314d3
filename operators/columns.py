"""Decode the bids of many messages at once, into columns.

Promise: what is decoded here is what the registry would have accepted, and means the same; every
message of which that is not certain is left to the registry, alone. However many of those a sender
mixes in, no other message is read more than twice; however many senders do, once for each halving.

Joining is exact. Each message that is joined, inside its brackets, begins with `{` and ends with
`}`. So the seam reads `},{`, which outside a text is valid between two elements alone; inside a
text it fails the patterns of ids and names. Without escapes each element has at least one
`"bid_placed"`, and as many quotation marks as its fields account for, or more where a key is
repeated or a null stands for an absent field. None can have fewer: where the sums over all messages
are right, each message is right by itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from state.bids import BUNDLE, UUID_BYTES, Bids, Bytes, Int32s, Int64s
from state.log import BidPlaced
from walras_schemas import BATCH_MAX, PAYLOAD_MAX_BYTES
from walras_schemas.names import EVENT_ID_PATTERN, TIMESTAMP_PATTERN, is_name

CHUNK: Final = 4096
"""Messages that are decoded jointly: so many are read again, in halves, when one of them is odd."""
BID_TYPE: Final = b'"bid_placed"'
ID_TEXT_BYTES: Final = 36
NO_ID: Final = "00000000-0000-7000-8000-000000000000"
"""Stands for the event id of a bid whose event id is not one."""
UUID_VERSION, UUID_VARIANT = 7, 2
HYPHENS_AT: Final = [8, 13, 18, 23]
VERSION_AT, VARIANT_AT = 6, 8
"""Bytes of an id: the upper half of one is its version, the upper two bits of the other are 10."""
NO_NAME: Final = -2
"""Stands for the resource of a bid whose resource is not a name."""
UNIT_MARKS: Final = 16
"""Quotation marks of a unit bid: four for each of type, event_id and resource, two for each of
quantity and unit_price_micros."""
BUNDLE_MARKS: Final = 12
"""Of a bundle: four for each of type and event_id, two for each of bundle and limit_micros; and two
for each of its resources."""

_is_name = lru_cache(maxsize=1 << 12)(is_name)
_is_timestamp = re.compile(TIMESTAMP_PATTERN).fullmatch
_is_event_id = re.compile(EVENT_ID_PATTERN).fullmatch
_element_of = re.compile(r"at `\$\[(\d+)\]").search
_byte_of = re.compile(r"\(byte (\d+)\)").search

NO_BID: Final = BidPlaced(event_id="")


class _OtherCommand(msgspec.Struct, tag_field="type", tag=""):
    """Stands beside a bid, as the decoder lets the type of a struct that stands alone be absent."""


_many_bids = msgspec.json.Decoder(list[BidPlaced | _OtherCommand])


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages on subjects of agents' bids in a slice, one entry per message."""

    seq: Int64s
    time_ns: Int64s
    sender: Int32s
    """Number of its market and agent within the slice."""
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Messages that may hold bids and nothing else."""

    place: Int64s
    """Of each among the messages."""
    sender: Int32s
    bodies: Sequence[bytes]
    """Its elements, without the brackets of a batch."""
    elements: Int64s

    def __len__(self) -> int:
        return len(self.bodies)

    def taken(self, rows: Int64s) -> Self:
        """These of them."""
        bodies = [self.bodies[row] for row in rows.tolist()]
        return type(self)(
            place=self.place[rows],
            sender=self.sender[rows],
            bodies=bodies,
            elements=self.elements[rows],
        )


@dataclass(slots=True)
class _Found:
    """The bids of some messages, in columns as they stand on the wire."""

    bids: Sequence[BidPlaced]
    event_id: Bytes
    resource: Int32s
    quantity: Int64s
    unit_price_micros: Int64s
    min_quantity: Int64s
    bundles: Mapping[int, Mapping[str, int]]
    certain: NDArray[np.bool_]
    """Whether a row is surely what the registry would accept, repeated keys and nulls aside."""


class ResourceNumbers(dict[str, int]):
    """Numbers of a slice's resources, in order of their first mention."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __missing__(self, name: str) -> int:
        if not is_name(name):
            return NO_NAME
        number = self[name] = len(self.names)
        self.names.append(name)
        return number


@dataclass(slots=True)
class _Decoded:
    """What was decoded so far, and of each message its place and how many bids it holds."""

    found: list[_Found] = field(default_factory=list)
    places: list[Int64s] = field(default_factory=list)
    elements: list[Int64s] = field(default_factory=list)
    alone: list[int] = field(default_factory=list)
    """Places of the messages that are left to the registry."""

    def add(self, some: Candidates, found: _Found) -> None:
        """Take in the bids of some messages."""
        self.found.append(found)
        self.places.append(some.place)
        self.elements.append(some.elements)


def decode_bids(messages: Messages, resources: ResourceNumbers) -> tuple[Bids, list[int]]:
    """The bids of the messages that surely hold nothing else, and the places of all others."""
    decoded = _Decoded()
    candidates = _candidates(messages, decoded.alone)
    odd: set[int] = set()
    for start in range(0, len(candidates), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(candidates)))
        _decode(candidates.taken(rows), odd, resources, decoded)
    return _bids(messages, decoded), decoded.alone


def _candidates(messages: Messages, alone: list[int]) -> Candidates:
    payloads = messages.payloads
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    elements, bodies = np.ones(len(payloads), dtype=np.int64), [*payloads]
    whole = np.array([each[:1] == b"{" and each[-1:] == b"}" for each in payloads], dtype=np.bool_)
    for at in np.flatnonzero(~whole).tolist():
        if payloads[at][:2] == b"[{" and payloads[at][-2:] == b"}]":
            bodies[at] = payloads[at][1:-1]
            elements[at] = bodies[at].count(BID_TYPE)
            whole[at] = 0 < elements[at] <= BATCH_MAX
    whole &= sizes <= PAYLOAD_MAX_BYTES
    every = Candidates(np.arange(len(payloads)), messages.sender, bodies, elements)
    if whole.all():
        return every
    alone += np.flatnonzero(~whole).tolist()
    return every.taken(np.flatnonzero(whole))


def _decode(some: Candidates, odd: set[int], resources: ResourceNumbers, decoded: _Decoded) -> None:
    """Decode messages jointly, in halves where that fails; leave those of senders that spoiled it.

    The registry reads a single message faster than columns do.
    """
    apart = np.isin(some.sender, list(odd))
    decoded.alone += some.place[apart].tolist()
    joined = some.taken(np.flatnonzero(~apart)) if apart.any() else some
    if not len(joined):
        return
    found, bad = decode_jointly(joined, resources)
    if found is not None:
        decoded.add(joined, found)
    elif len(joined) == 1:
        decoded.alone.append(int(joined.place[0]))
    else:
        odd.add(int(joined.sender[bad]))
        for half in np.array_split(np.arange(len(joined)), 2):
            _decode(joined.taken(half), odd, resources, decoded)


def decode_jointly(some: Candidates, resources: ResourceNumbers) -> tuple[_Found | None, int]:
    """The bids of the messages, or none and the place in `some` of one that may be the reason."""
    joint = b"[%b]" % b",".join(some.bodies)
    if not joint.isascii() or b"\\" in joint:
        return None, [body.isascii() and b"\\" not in body for body in some.bodies].index(False)
    try:
        elements = _many_bids.decode(joint)
    except (msgspec.MsgspecError, RecursionError) as refused:
        return None, _culprit(some, str(refused))
    all_marks = joint.count(b'"')
    found = _columns(elements, resources, all_marks)
    bad = _first_uncertain(some, all_marks, found)
    return (found, 0) if bad is None else (None, bad)


def _culprit(some: Candidates, refusal: str) -> int:
    """The message that the reader stopped at, as far as its words tell; else the first one."""
    element, byte = _element_of(refusal), _byte_of(refusal)
    if element is not None:
        ends, at = np.cumsum(some.elements), int(element[1])
    else:
        ends, at = np.cumsum([len(body) + 1 for body in some.bodies]), int(byte[1]) if byte else 0
    return min(int(np.searchsorted(ends, at, side="right")), len(some) - 1)


def _columns(
    elements: Sequence[BidPlaced | _OtherCommand], resources: ResourceNumbers, marks: int
) -> _Found:
    """The elements as columns; one that is not a bid stands as a bid that is not certain.

    `marks` is how many quotation marks they have together. Where each has a resource, a quantity
    and a price, a field that these columns do not show is found by the marks that it adds.
    """
    bids = [each if type(each) is BidPlaced else NO_BID for each in elements]
    resource = np.array([resources[bid.resource] for bid in bids], dtype=np.int32)
    quantity = np.array([bid.quantity for bid in bids], dtype=np.int64)
    price = np.array([bid.unit_price_micros for bid in bids], dtype=np.int64)
    event_id, certain = read_event_ids([bid.event_id for bid in bids])
    unit = (resource >= 0) & (quantity > 0) & (price > 0)
    least = np.zeros(len(bids), dtype=np.int64)
    if marks != UNIT_MARKS * len(bids):
        least = np.array([bid.min_quantity for bid in bids], dtype=np.int64)
    if unit.all():
        certain &= least <= quantity
        return _Found(bids, event_id, resource, quantity, price, least, {}, certain)
    limit = np.array([bid.limit_micros for bid in bids], dtype=np.int64)
    bundles = {row: bid.bundle for row, bid in enumerate(bids) if bid.bundle is not None}
    unit &= (least <= quantity) & (limit == 0)
    if bundles:
        rows = np.array(list(bundles), dtype=np.intp)
        # An absent resource is an empty text, which is no name either.
        whole = [not bids[row].resource and all(map(_is_name, bundles[row])) for row in bundles]
        blank = (quantity[rows] == 0) & (price[rows] == 0) & (least[rows] == 0)
        unit[rows] = blank & (limit[rows] > 0) & np.array(whole, dtype=np.bool_)
        resource[rows], quantity[rows], price[rows] = BUNDLE, 1, limit[rows]
    return _Found(bids, event_id, resource, quantity, price, least, bundles, certain & unit)


def read_event_ids(texts: Sequence[str]) -> tuple[Bytes, NDArray[np.bool_]]:
    """The 16 bytes of each event id, and whether it is one (a UUIDv7 with hyphens)."""
    ids = _ids_if_all_are(texts)
    if ids is not None:
        return ids, np.ones(len(texts), dtype=np.bool_)
    certain = [_is_event_id(text) is not None for text in texts]
    ids = _ids_if_all_are(
        [text if sure else NO_ID for text, sure in zip(texts, certain, strict=True)]
    )
    assert ids is not None, "all are event ids now"
    return ids, np.array(certain, dtype=np.bool_)


def _ids_if_all_are(texts: Sequence[str]) -> Bytes | None:
    """The 16 bytes of each text, or None where one is not an event id.

    White space, which `fromhex` passes over, leaves fewer bytes.
    """
    if any(size != ID_TEXT_BYTES for size in set(map(len, texts))):
        return None
    joined = "".join(texts)
    letters = np.frombuffer(joined.encode(), dtype=np.uint8).reshape(-1, ID_TEXT_BYTES)
    if not (letters[:, HYPHENS_AT] == ord("-")).all():
        return None
    try:
        digits = bytes.fromhex(joined.replace("-", ""))
    except ValueError:
        return None
    if len(digits) != len(texts) * UUID_BYTES:
        return None
    ids = np.frombuffer(digits, dtype=np.uint8).reshape(-1, UUID_BYTES)
    version, variant = ids[:, VERSION_AT] >> 4, ids[:, VARIANT_AT] >> 6
    return ids if ((version == UUID_VERSION) & (variant == UUID_VARIANT)).all() else None


def _first_uncertain(some: Candidates, all_marks: int, found: _Found) -> int | None:
    """The first message whose elements are not surely what the registry would accept."""
    ends = np.cumsum(some.elements)
    marks = np.where(found.min_quantity > 0, UNIT_MARKS + 2, UNIT_MARKS)
    if found.bundles:
        asked = np.array([len(bundle) for bundle in found.bundles.values()], dtype=np.int64)
        marks[list(found.bundles)] = BUNDLE_MARKS + 2 * asked
    if len(marks) == ends[-1] and found.certain.all():
        if marks.sum() == all_marks:
            return None
        _add_optional_marks(found, marks)
        if found.certain.all() and marks.sum() == all_marks:
            return None
    expected = np.cumsum([body.count(b'"') for body in some.bodies])
    reached = np.minimum(ends, len(marks)) - 1
    uncertain = np.cumsum(~found.certain)[reached] > 0
    wrong = (np.cumsum(marks)[reached] != expected) | (ends > len(marks)) | uncertain
    return int(np.argmax(wrong)) if wrong.any() else len(some) - 1


def _add_optional_marks(found: _Found, marks: Int64s) -> None:
    """Count what the fields that say nothing of the bid itself bring, and look whether they may."""
    for row, bid in enumerate(found.bids):
        if bid.version or bid.timestamp or bid.scenario_id:
            marks[row] += (
                2 * bool(bid.version) + 4 * bool(bid.timestamp) + 4 * bool(bid.scenario_id)
            )
            found.certain[row] &= not bid.timestamp or _is_timestamp(bid.timestamp) is not None
            found.certain[row] &= not bid.scenario_id or is_name(bid.scenario_id)


def _bids(messages: Messages, decoded: _Decoded) -> Bids:
    """The columns of all that was decoded, in the order of the log."""
    if not decoded.found:
        return Bids.none()
    elements, places = np.concatenate(decoded.elements), np.concatenate(decoded.places)
    row_place = np.repeat(places, elements)
    starts = np.cumsum(elements) - elements
    ords = np.arange(len(row_place)) - np.repeat(starts, elements)
    columns = {
        "seq": messages.seq[row_place],
        "ord": ords.astype(np.int16),
        "time_ns": messages.time_ns[row_place],
        "account": messages.sender[row_place],
    }
    columns |= {
        name: np.concatenate([getattr(found, name) for found in decoded.found])
        for name in ("event_id", "resource", "quantity", "unit_price_micros")
    }
    least = np.concatenate([found.min_quantity for found in decoded.found])
    columns["min_quantity"] = np.maximum(least, 1)
    bundles: dict[int, Mapping[str, int]] = {}
    start = 0
    for found in decoded.found:
        bundles |= {start + row: bundle for row, bundle in found.bundles.items()}
        start += len(found.bids)
    return Bids.of(columns, bundles)
