"""Many messages decoded at once: each means what it means alone, and none is read for ever."""

from collections import Counter
from collections.abc import Sequence
from typing import Final
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.columns import CHUNK, Candidates, Messages, ResourceNumbers, decode_bids
from tests.operators.oracle import events_of_all, read_by_decoder
from tests.operators.ways import one_by_one
from tests.operators.wire_texts import (
    BUNDLE,
    ID,
    OTHER_ID,
    UNIT,
    WITHDRAWAL,
    mutated,
    rewritten,
)

A1, A2, A3 = (f"market.m1.bid.a{number}" for number in (1, 2, 3))
Sent = list[tuple[str, bytes]]


def with_field(text: str, field: str) -> str:
    """The bid with one more field."""
    return f"{text[:-1]}, {field}}}"


TWICE: Final = with_field(UNIT, '"quantity": 3')
TYPED_TWICE: Final = with_field(UNIT, '"type": "bid_placed"')
NO_QUANTITY: Final = UNIT.replace(', "quantity": 3', "")
NULLED: Final = with_field(UNIT, '"bundle": null')
VERSIONED: Final = with_field(UNIT, '"version": 1')
NO_PRICE: Final = UNIT.replace(', "unit_price_micros": 7', "")
ODD: Final = {
    "escapes": UNIT.replace('"gpu"', '"\\u0067pu"'),
    "an escaped key": UNIT.replace('"quantity"', '"qu\\u0061ntity"'),
    "an escaped quotation mark": with_field(UNIT, '"scenario_id": "\\""'),
    "not ascii": with_field(UNIT, '"scenario_id": "\u00fc"'),
    "a repeated key": TWICE,
    "a repeated type": TYPED_TWICE,
    "a repeated resource": with_field(UNIT, '"resource": "cpu"'),
    "a repeated part of a bundle": BUNDLE.replace('"cpu"', '"gpu"'),
    "null": NULLED,
    "null for a limit": with_field(UNIT, '"limit_micros": null'),
    "a resource of the type's name": UNIT.replace('"gpu"', '"bid_placed"'),
    "the type's name as a part": BUNDLE.replace('"cpu"', '"bid_placed"'),
    "the type's name as a scenario": with_field(UNIT, '"scenario_id": "bid_placed"'),
    "a key for a key": f"[{TWICE},{NO_PRICE}]",
    "a null for a field": f"[{NULLED},{NO_QUANTITY}]",
    "a type for a type": f"[{TYPED_TWICE},{{}}]",
    "two in one and none": f"[{UNIT[:-1]}, {UNIT[1:]},{{}}]",
    "a version": VERSIONED,
    "a version of 2": with_field(UNIT, '"version": 2'),
    "a version that is no integer": with_field(UNIT, '"version": 1.0'),
    "no version": with_field(UNIT, '"version": 0'),
    "a timestamp": with_field(UNIT, '"timestamp": "2025-10-09T08:53:20.5Z"'),
    "no timestamp": with_field(UNIT, '"timestamp": "yesterday"'),
    "an empty timestamp": with_field(UNIT, '"timestamp": ""'),
    "a scenario": with_field(BUNDLE, '"scenario_id": "s-1"'),
    "no scenario": with_field(BUNDLE, '"scenario_id": "S 1"'),
    "an empty scenario": with_field(UNIT, '"scenario_id": ""'),
    "all of them": with_field(
        UNIT, '"version": 1, "timestamp": "2025-10-09T08:53:20Z", "scenario_id": "s-1"'
    ),
    "an unknown field": with_field(UNIT, '"surprise": 1'),
    "a field of a bundle": with_field(UNIT, '"limit_micros": 9'),
    "a field of a unit bid": with_field(BUNDLE, '"min_quantity": 1'),
    "a minimum above the quantity": with_field(UNIT, '"min_quantity": 4'),
    "a withdrawal": WITHDRAWAL,
    "a withdrawal between bids": f"[{UNIT},{WITHDRAWAL},{BUNDLE}]",
    "a batch of one": f"[{UNIT}]",
    "space in the brackets": f"[ {UNIT} ]",
    "space between elements": f"[{UNIT} ,\n{BUNDLE}]",
    "space around": f" {UNIT}\n",
    "space around a batch": f"\t[{UNIT},{BUNDLE}]\r\n",
    "a batch in a batch": f"[[{UNIT}],{UNIT}]",
    "an empty batch": "[]",
    "nothing": "",
    "a seam": f"{UNIT},{UNIT}",
    "half a seam": UNIT[:-1],
    "the other half": UNIT[1:],
    "a seam in a text": with_field(UNIT, '"scenario_id": "},{"'),
    "a closed bracket": f"{UNIT}]",
    "two objects": UNIT + UNIT,
    "a comma too many": f"[{UNIT},]",
    "an id in capitals": UNIT.replace(ID, ID.upper()),
    "an id of another version": UNIT.replace("-7", "-4", 1),
    "an id without hyphens": UNIT.replace(ID, ID.replace("-", "")),
    "an id with other hyphens": UNIT.replace(ID, f"{ID[:7]}-{ID[7]}{ID[9:]}"),
    "an id with a digit for a hyphen": UNIT.replace(ID, f"{ID[:8]}0{ID[9:]}"),
    "an id with white space for digits": UNIT.replace(ID, f"{ID[:-2]}  "),
    "an id of other letters": UNIT.replace(ID, f"{ID[:-1]}g"),
    "an empty id": UNIT.replace(ID, ""),
    "the quantity of a text": UNIT.replace("3", '"3"'),
    "a quantity of nothing": UNIT.replace("3", "0"),
    "too large a quantity": UNIT.replace("3", str(10**12 + 1)),
    "a quantity that is no integer": UNIT.replace("3", "3.0"),
    "a quantity below nothing": UNIT.replace("3", "-0"),
    "seventeen parts": BUNDLE.replace(
        '"gpu": 3', ", ".join(f'"r{number}": 1' for number in range(16))
    ),
    "no parts": BUNDLE.replace('"gpu": 3, "cpu": 1', ""),
    "a part that is no name": BUNDLE.replace('"cpu"', '"CPU"'),
    "a resource that is no name": UNIT.replace('"gpu"', '"GPU"'),
    "a thousand": "[" + ",".join([UNIT] * 1000) + "]",
    "a thousand and one": "[" + ",".join([UNIT] * 1001) + "]",
}
PLAIN: Final = [UNIT, BUNDLE, f"[{UNIT},{BUNDLE}]", with_field(UNIT, '"min_quantity": 2')]


def read(messages: Sent) -> list[tuple[int, int, object]]:
    """What each event of the messages is, and where."""
    return [(event.seq, event.ord, read_by_decoder(event)) for event in events_of_all(messages)]


def read_singly(messages: Sent) -> list[tuple[int, int, object]]:
    """The same by the registry, which never sees two messages at once."""
    with one_by_one():
        return read(messages)


def among(odd: str, *, subject: str = A2) -> Sent:
    """An odd message among plain ones of its own sender and of others."""
    plain = [(A1, text.encode()) for text in PLAIN]
    own = [(subject, text.encode()) for text in PLAIN]
    return [*plain, (subject, odd.encode()), *own, *plain]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_message_means_the_same_in_a_crowd(odd: str) -> None:
    """What one message lacks must not make up for what another has too much, nor spoil it."""
    assert read_singly(among(odd)) == read(among(odd))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_two_of_a_kind_do_not_make_up_for_each_other(odd: str) -> None:
    """The counts that are compared are sums: two faults must not add up to none."""
    for other in (TWICE, NULLED, VERSIONED, NO_PRICE, f"[{UNIT},{{}}]", WITHDRAWAL):
        messages = [(A1, odd.encode()), (A1, other.encode()), (A2, odd.encode())]
        assert read_singly(messages) == read(messages)


def test_ids_that_join_to_ids_are_none() -> None:
    """One is a letter too long, the next a letter too short."""
    long, short = UNIT.replace(ID, ID + OTHER_ID[0]), UNIT.replace(ID, OTHER_ID[1:])
    messages = [(A1, UNIT.encode()), (A1, long.encode()), (A2, short.encode())]
    assert read_singly(messages) == read(messages)


def test_what_one_has_too_many_of_is_not_what_another_lacks() -> None:
    """A bid that is counted for the message before it would be placed by another agent."""
    escaped = UNIT.replace("bid_placed", "bid\\u005fplaced")
    named = "[" + UNIT.replace('"gpu"', '"bid_placed"') + "]"
    for first, second in ((f"[{escaped},{UNIT}]", named), (named, f"[{UNIT},{escaped}]")):
        messages = [(A1, first.encode()), (A2, second.encode())]
        assert read_singly(messages) == read(messages)


@given(
    messages=st.lists(
        st.tuples(
            st.sampled_from([A1, A1, A2, A3, "market.m2.bid.a1", "market.m1.grant"]),
            st.one_of(
                st.sampled_from([text.encode() for text in PLAIN]),
                st.sampled_from([text.encode() for text in ODD.values() if len(text) < 2000]),
                mutated(),
                rewritten(),
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=400, deadline=None)
def test_messages_mean_together_what_each_means_alone(messages: Sent) -> None:
    """A bid that is decoded otherwise beside another depends on what somebody else sent."""
    assert read_singly(messages) == read(messages)


# --- how often a message is read ------------------------------------------------------------------


def reads_of(payloads: Sequence[str], senders: Sequence[int]) -> tuple[Counter[int], list[int]]:
    """How often each message is read jointly, and which are left to the registry."""
    reads: Counter[int] = Counter()
    jointly = columns.decode_jointly

    def counting(some: Candidates, resources: ResourceNumbers) -> object:
        reads.update(some.place.tolist())
        return jointly(some, resources)

    messages = Messages(
        seq=np.arange(len(payloads), dtype=np.int64),
        time_ns=np.zeros(len(payloads), dtype=np.int64),
        sender=np.array(senders, dtype=np.int32),
        payloads=[payload.encode() for payload in payloads],
    )
    with patch.object(columns, "decode_jointly", counting):
        bids, alone = decode_bids(messages, ResourceNumbers())
    assert len(bids) + len(alone) == len(payloads)
    return reads, sorted(alone)


COUNT: Final = 2 * CHUNK + 100
SPOILERS: Final = [NULLED.replace("null", "[]"), UNIT.replace("3", "0"), TWICE, NO_PRICE, "{]}"]


@pytest.mark.parametrize("spoiler", SPOILERS)
@pytest.mark.parametrize("every", [1, 7, 1000])
def test_one_sender_makes_no_other_message_be_read_more_than_twice(
    spoiler: str, every: int
) -> None:
    """Were all others read alone whenever one sends nonsense, one sender would stop the market."""
    odd = "{" + f'"bid_placed": 1, {spoiler[1:]}' if "bid_placed" not in spoiler else spoiler
    payloads, senders = [], []
    for number in range(COUNT):
        payloads.append(UNIT)
        senders.append(1 + number % 50)
        if number % every == 0:
            payloads.append(odd)
            senders.append(0)
    reads, alone = reads_of(payloads, senders)
    assert [place for place, sender in enumerate(senders) if sender == 0] == alone
    others = [reads[place] for place, sender in enumerate(senders) if sender]
    assert max(others) <= 2
    assert sum(others) <= COUNT + CHUNK


def test_many_senders_cost_a_reading_for_each_halving() -> None:
    """Several who act together must not force the slow way on others either."""
    payloads = [TWICE if number % 40 == 0 else UNIT for number in range(CHUNK)]
    reads, alone = reads_of(payloads, range(CHUNK))
    assert [number for number in range(CHUNK) if number % 40 == 0] == alone
    assert max(reads.values()) <= CHUNK.bit_length()
    assert sum(reads.values()) <= 8 * CHUNK


def test_a_plain_crowd_is_read_once() -> None:
    """A message that is read twice without need is a market at half the speed."""
    texts = [UNIT, BUNDLE, VERSIONED, with_field(UNIT, f'"scenario_id": "{OTHER_ID}"')]
    payloads = [texts[number % 4] for number in range(COUNT)]
    reads, alone = reads_of(payloads, [0] * COUNT)
    assert [] == alone
    assert {1} == set(reads.values())
