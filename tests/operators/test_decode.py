"""What a sender may write: the decoder takes what the registry takes, and survives the rest.

The fast way for bids may only ever be a faster way to the same answer.
"""

import time
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from operators.strict import NESTING_MAX
from state.bids import Bid
from state.log import Malformed
from tests.badinput.strings import as_stored
from tests.operators.oracle import (
    BID_SUBJECT,
    assert_as_registry,
    events_of,
    kinds_of,
    letters_of,
    read_by_decoder,
)
from tests.operators.wire_texts import BUNDLE, ID, OTHER_ID, UNIT, WITHDRAWAL, mutated, rewritten
from walras_schemas import BATCH_MAX, PAYLOAD_MAX_BYTES

thorough = settings(max_examples=250, deadline=None)


def beginning_of(text: bytes) -> tuple[bytes, int]:
    """What a dead letter keeps of a text, and how long it says that the whole is."""
    return text[:1024], len(text)


# --- what is a bid -------------------------------------------------------------------------------


@given(payload=mutated())
@settings(max_examples=700, deadline=None)
def test_a_mutated_message_means_what_the_registry_says(payload: bytes) -> None:
    """A bid that one decoder takes and the other refuses makes two ledgers of one log."""
    assert_as_registry(payload)


@given(payload=rewritten())
@settings(max_examples=700, deadline=None)
def test_a_bid_with_other_fields_means_what_the_registry_says(payload: bytes) -> None:
    """The fast decoder's own idea of a bid must not be wider than the registry's."""
    assert_as_registry(payload)


@given(payloads=st.lists(rewritten(), min_size=2, max_size=4))
@thorough
def test_a_batch_is_judged_one_by_one(payloads: Sequence[bytes]) -> None:
    """What one element of a batch lacks must not make up for what another has too much."""
    alone = [read_by_decoder(event) for payload in payloads for event in events_of(payload)]
    batch = events_of(b"[" + b",".join(payloads) + b"]")
    assert alone == [read_by_decoder(event) for event in batch]
    assert list(range(len(payloads))) == [event.ord for event in batch]


@pytest.mark.parametrize(
    "payload",
    [
        UNIT.replace('"type": "bid_placed"', f'"event_id": "{OTHER_ID}"'),
        UNIT.replace('"type": "bid_placed", ', ""),
        UNIT.replace('"type": "bid_placed"', '"bundle": null, "limit_micros": null'),
        UNIT.replace('"type": "bid_placed"', '"type": ""'),
        UNIT.replace('"gpu"', '""'),
        UNIT.replace('"gpu"', "null"),
        UNIT.replace("}", ', "bundle": null}'),
        UNIT.replace("}", ', "quantity": 3}'),
        BUNDLE.replace('"cpu"', '"gpu"'),
        BUNDLE.replace('"gpu": 3, "cpu": 1', ""),
        BUNDLE.replace("}, ", '}, "resource": null, '),
        UNIT.replace("3", "3.0"),
        UNIT.replace("3", "3e0"),
        UNIT.replace("3", "03"),
        UNIT.replace("3", "-0"),
        UNIT.replace("3", "true"),
        UNIT.replace("3", '"3"'),
        UNIT.replace("3", "NaN"),
        UNIT.replace("3", str(10**12 + 1)),
        UNIT.replace("3", str(2**64 + 3)),
        UNIT.replace("3", "3" + "0" * 5000),
        UNIT.replace("}", ', "min_quantity": 4}'),
        UNIT + "x",
        UNIT + UNIT,
        "\ufeff" + UNIT,
        UNIT.replace("}", ",}"),
    ],
)
def test_no_bid_slips_in(payload: str) -> None:
    """Each of these is nearly a bid, and one of two decoders might think that it is one."""
    assert [Malformed] == kinds_of(payload.encode())
    assert [beginning_of(payload.encode())] == [
        (letter.payload, letter.payload_bytes) for letter in letters_of(payload.encode())
    ]


@pytest.mark.parametrize(
    "payload",
    [
        UNIT.replace('"gpu"', '"\\u0067pu"'),
        UNIT.replace('"quantity"', '"qu\\u0061ntity"'),
        UNIT.replace(" ", "\n\t \r"),
        "  " + UNIT + "  ",
        UNIT.replace('"type": "bid_placed", ', "").replace("}", ', "type": "bid_placed"}'),
        UNIT.replace(
            "}", ', "version": 1, "scenario_id": "s", "timestamp": "2025-01-01T00:00:00Z"}'
        ),
    ],
)
def test_one_bid_has_many_spellings(payload: str) -> None:
    """JSON that another library writes differently is the same bid."""
    assert read_by_decoder(events_of(UNIT.encode())[0]) == read_by_decoder(
        events_of(payload.encode())[0]
    )


# --- dead letters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        "5",
        "null",
        '"bid"',
        "[[1, 2], 3]",
        '{"type": "bid_placed"}',
        '{"a": [1, {"b": "],}"}]}',
        UNIT.replace("}", ', "quantity": 3}'),
        '"\u00fc \\" , ]"',
    ],
)
def test_a_bad_element_is_a_dead_letter_of_its_own_text(bad: str) -> None:
    """An operator who looks at a dead letter must find what was sent, not the batch around it."""
    batch = f"[ {UNIT} ,\n {bad}\t, {BUNDLE}]".encode()
    assert [(7, 0), (7, 1), (7, 2)] == [(event.seq, event.ord) for event in events_of(batch)]
    assert [Bid, Malformed, Bid] == kinds_of(batch)
    [letter] = letters_of(batch)
    assert (BID_SUBJECT, bad.encode()) == (letter.subject, letter.payload)
    assert len(bad.encode()) == letter.payload_bytes


@pytest.mark.parametrize("length", [1023, 1024, 1025, 3000])
def test_a_dead_letter_keeps_the_beginning_and_the_length(length: int) -> None:
    """One sender's megabytes of nonsense must not fill the ledger, nor hide how many they were."""
    bad = b'"' + b"x" * (length - 2) + b'"'
    for payload in (bad, b"[" + bad + b"]"):
        [letter] = letters_of(payload)
        assert (bad[:1024], length) == (letter.payload, letter.payload_bytes)


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        (BID_SUBJECT, b""),
        (BID_SUBJECT, b"[]"),
        (BID_SUBJECT, b"[" + UNIT.encode()),
        (BID_SUBJECT, b"\xff" + UNIT.encode()),
        (BID_SUBJECT, b"[" + b",".join([UNIT.encode()] * (BATCH_MAX + 1)) + b"]"),
        (BID_SUBJECT, UNIT.encode() + b" " * (PAYLOAD_MAX_BYTES + 1 - len(UNIT))),
        ("market.m1.transfer.a1", UNIT.encode()),
        ("market.m1.market", WITHDRAWAL.encode()),
        ("market.m1.bid.treasury", UNIT.encode()),
        ("market.m1.bid", UNIT.encode()),
        ("nonsense", b"[1, 2, 3]"),
    ],
)
def test_a_hopeless_message_is_one_dead_letter(subject: str, payload: bytes) -> None:
    """A message that cannot be taken apart must neither vanish nor multiply."""
    [event] = events_of(payload, subject)
    [letter] = letters_of(payload, subject)
    assert (0, subject) == (event.ord, letter.subject)
    assert beginning_of(payload) == (letter.payload, letter.payload_bytes)


def test_a_batch_and_a_payload_may_be_as_large_as_allowed() -> None:
    """A limit that starts one too early refuses what the wire promises."""
    batch = b"[" + b",".join([UNIT.encode()] * BATCH_MAX) + b"]"
    large = UNIT.encode() + b" " * (PAYLOAD_MAX_BYTES - len(UNIT))
    assert [Bid] * BATCH_MAX == kinds_of(batch)
    assert [Bid] == kinds_of(large)


@pytest.mark.parametrize("depth", [NESTING_MAX, NESTING_MAX + 1, 900, 5_000, 500_000])
@pytest.mark.parametrize("deep", ["[]", "{}"])
def test_nesting_is_judged_alike_on_every_machine(depth: int, deep: str) -> None:
    """A reader's recursion limit depends on Python and on its stack: the ledger may not."""
    inner = "[" * (depth - 2) + "]" * (depth - 2)
    if deep == "{}":
        inner = '{"x":' * (depth - 2) + "1" + "}" * (depth - 2)
    kinds = kinds_of(f'[{UNIT}, "[[[", [{inner}]]'.encode())
    assert ([Bid, Malformed, Malformed] if depth <= NESTING_MAX else [Malformed]) == kinds


def test_ticks_leave_nothing() -> None:
    """Only the time of a tick counts: what it carries must not become a dead letter."""
    assert [] == events_of(b"\xff{", "clock.0")


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        (BID_SUBJECT, b'{"type": "\\u0000"}'),
        (BID_SUBJECT, b'{"type": "' + b"x" * 100_000 + b'"}'),
        (BID_SUBJECT, b'{"type": "\\ud800"}'),
        (BID_SUBJECT, b'{"\\u0000": 1, "\\u0000": 1}'),
        (BID_SUBJECT, UNIT.replace("}", ', "\\u0000\\ud800": 1}').encode()),
        (BID_SUBJECT, UNIT.replace("}", ', "' + "k" * 100_000 + '": 1}').encode()),
        ("market.m\x00.bid.a1", b"{}"),
        ("market.\udcff.bid.a1", b"{}"),
    ],
)
def test_a_dead_letter_fits_into_a_ledger(subject: str, payload: bytes) -> None:
    """A database text holds no NUL and no lone surrogate: one such error would stop the shard."""
    [letter] = letters_of(payload, subject)
    assert letter.error.isprintable()
    assert len(letter.error) < 1000
    assert letter.subject == as_stored(subject)


@pytest.mark.parametrize(
    "name", ["a\u00a0b", "\x1b[31m", "\U0001fadc", "\u00e41", "a b", "x" * 3000]
)
def test_the_subject_of_a_dead_letter_is_the_one_it_came_on(name: str) -> None:
    """What counts as printable differs between Pythons, and would make two ledgers of one log."""
    subject = f"market.m1.bid.{name}"
    assert [subject] == [letter.subject for letter in letters_of(b"{}", subject)]


MANY_KEYS: Final = ",".join(f'"{number:x}":1' for number in range(90_000))


@pytest.mark.parametrize(
    "payload",
    [
        "{" + MANY_KEYS + ',"last":1,"last":1}',
        UNIT.replace("}", "," + MANY_KEYS + "}"),
        '{"type": "market_opened", "event_id": "' + ID + '", "resources": {' + MANY_KEYS + "}}",
        "[" * 101 + '"' + '\\"' * 500_000,
        "[" * 101 + '"",' * 300_000,
        '["' + '","' * 300_000 + '"]',
        UNIT.replace("3", "0." + "1" * 1_000_000),
        "[" + ",".join([UNIT.replace("}", ', "a": {"b": [], "b": []}}')] * 1000) + "]",
    ],
    ids=["repeated", "foreign", "listed", "escaped", "deep", "texts", "digits", "batch"],
)
def test_no_message_takes_long(payload: str) -> None:
    """Work that grows with the square of a message lets one sender stop the market for minutes."""
    started = time.process_time()
    events_of(payload.encode())
    assert time.process_time() - started < 5


SUBJECTS: Final = st.one_of(
    st.sampled_from([BID_SUBJECT, "market.m1.grant", "market.m1.market", "market.m1.price.gpu"]),
    st.text(max_size=20),
)


@given(subject=SUBJECTS, payload=st.one_of(st.binary(max_size=60), mutated()))
@example(subject=BID_SUBJECT, payload=b"[" * 1_000_000)
@example(subject=BID_SUBJECT, payload=b'"' + b"\\" * 999_999)
@thorough
def test_nothing_that_is_sent_stops_the_flow(subject: str, payload: bytes) -> None:
    """One message that raises would stop its shard at every restart, for ever."""
    events = events_of(payload, subject)
    ticks = subject.startswith("clock.")
    assert ticks or list(range(len(events))) == [event.ord for event in events] != []
    for letter in letters_of(payload, subject):
        assert letter.error.isprintable()
        assert letter.subject == as_stored(subject)
