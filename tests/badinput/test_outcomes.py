"""Whatever is sent, wherever: an outcome or a dead letter, one for each event, and the same again.

The logs go through the real dataflow, from the raw message to the settled window.
"""

import json
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.testing import LogRecord, settle_log
from tests.badinput.json_texts import MUST_ACCEPT, MUST_REFUSE, elements
from tests.badinput.logs import (
    COMMANDS,
    WINDOW_MS,
    as_payloads,
    in_every_field,
    in_every_subject,
    open_market,
    outcomes,
    places,
)
from tests.badinput.strings import STRINGS
from tests.operators.steps import plain

SUBJECTS: Final = [subject for subject, _ in COMMANDS.values()]
BYTES: Final = [text.encode(errors="surrogatepass") for text in STRINGS]
NO_BATCH: Final = [text for text in MUST_ACCEPT if elements(text) is None]


def assert_one_outcome_each(records: list[LogRecord]) -> None:
    """Every event leaves one row, and reading one message at a time leaves the same rows."""
    windows = settle_log(records, window_ms=WINDOW_MS).windows
    assert places(records) == outcomes(windows)
    in_parts = settle_log(records, window_ms=WINDOW_MS, batch_size=37).windows
    assert plain(windows) == plain(in_parts)


@pytest.mark.parametrize("kind", COMMANDS)
def test_strings_in_fields(kind: str) -> None:
    """A field that one reader takes for a name and another for SQL is how ledgers are robbed."""
    assert_one_outcome_each(in_every_field(kind))


def test_strings_in_subjects() -> None:
    """The subject says who pays: an odd one must not be read as somebody else's."""
    assert_one_outcome_each(in_every_subject())


def test_strings_as_payloads() -> None:
    """People paste anything into a publishing tool."""
    assert_one_outcome_each(as_payloads(BYTES))


def test_json_texts_as_payloads() -> None:
    """What is no command leaves nothing but dead letters, on every kind of subject."""
    records = as_payloads([*MUST_REFUSE, *NO_BATCH])
    assert_one_outcome_each(records)
    dead = [
        (letter.subject, letter.payload, letter.payload_bytes)
        for window in settle_log(records, window_ms=WINDOW_MS).settlements
        for letter in window.dead_letters
    ]
    sent = [(record.subject, record.payload) for record in records[2:]]
    assert [(subject, text[:1024], len(text)) for subject, text in sent] == dead


def test_strings_in_one_batch() -> None:
    """A batch stands or falls by event, however strange its elements are."""
    log = open_market()
    bid = {**COMMANDS["unit bid"][1], "event_id": log.fresh_id()}
    batch = [bid, *STRINGS, {"a": STRINGS}, STRINGS, {text: text for text in STRINGS}]
    seq = log.append("market.m1.bid.a1", json.dumps(batch).encode())
    [window] = settle_log(log.records, window_ms=WINDOW_MS).settlements
    assert [(seq, 0)] == [(row.seq, row.ord) for row in window.bids]
    assert [(seq, ord_) for ord_ in range(1, len(batch))] == [
        (letter.seq, letter.ord) for letter in window.dead_letters
    ]


@given(
    sent=st.lists(
        st.tuples(
            st.one_of(st.sampled_from(SUBJECTS), st.sampled_from(STRINGS), st.text(max_size=9)),
            st.one_of(
                st.binary(max_size=60),
                st.sampled_from(BYTES),
                st.sampled_from(MUST_REFUSE),
                st.sampled_from(NO_BATCH),
            ),
        ),
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_bytes_on_any_subject(sent: list[tuple[str, bytes]]) -> None:
    """A worker that dies of one message dies of it again at every start."""
    log = open_market()
    for subject, payload in sent:
        log.append(subject, payload)
        log.wait(100)
    found = outcomes(settle_log(log.records, window_ms=WINDOW_MS).windows)
    # A few random bytes may be an array of two: each of its elements has a row then.
    assert places(log.records) == [place for place in found if place[1] == 0]
