"""The edge of JSON: what is JSON spoils at most itself, what is none spoils its message."""

import re
from typing import Final

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from operators.strict import LETTER_MAX_BYTES
from state.bids import Bid
from state.log import Malformed
from tests.badinput.json_texts import MUST_ACCEPT, MUST_REFUSE, elements
from tests.operators.oracle import events_of, kinds_of, letters_of
from tests.operators.wire_texts import FRAGMENTS, UNIT

NO_JSON: Final = "not JSON: "
HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")
PARTS: Final = [*(text.encode(errors="surrogatepass") for text in FRAGMENTS), *MUST_ACCEPT[:200]]


def between_bids(text: bytes) -> bytes:
    """A batch with the text as its second of three elements."""
    return b"[" + UNIT.encode() + b"," + text + b"," + UNIT.encode() + b"]"


def is_json_to_msgspec(payload: bytes) -> bool:
    """What a JSON reader of other makers says; halves of surrogate pairs it does not take."""
    assume(HALF_PAIR.search(payload) is None)
    try:
        msgspec.json.decode(payload)
    except msgspec.DecodeError as refused:
        assume("out of range" not in str(refused))  # numbers that no float holds
        return False
    except UnicodeDecodeError:
        return False
    return True


def test_there_are_enough_of_them() -> None:
    """A list that shrank to nothing would let every reader pass."""
    assert (len(MUST_ACCEPT), len(MUST_REFUSE)) == (len(set(MUST_ACCEPT)), len(set(MUST_REFUSE)))
    assert len(MUST_ACCEPT) > 200
    assert len(MUST_REFUSE) > 400


@pytest.mark.parametrize("text", MUST_ACCEPT, ids=lambda text: repr(text)[:40])
def test_json_spoils_no_neighbour(text: bytes) -> None:
    """One sender's strange but legal element must not take its batch along."""
    batch = between_bids(text)
    assert [Bid, Malformed, Bid] == kinds_of(batch)
    [letter] = letters_of(batch)
    whole = text.strip(b" \t\r\n")
    assert (whole[:LETTER_MAX_BYTES], len(whole)) == (letter.payload, letter.payload_bytes)
    assert not letter.error.startswith(NO_JSON)


@pytest.mark.parametrize("text", MUST_ACCEPT, ids=lambda text: repr(text)[:40])
def test_json_is_taken_apart(text: bytes) -> None:
    """What is JSON but no command is one dead letter an element, and is not called no JSON."""
    letters = letters_of(text)
    assert (elements(text) or 1) == len(letters) == len(events_of(text))
    assert [] == [letter for letter in letters if letter.error.startswith(NO_JSON)]


@pytest.mark.parametrize("text", MUST_REFUSE, ids=lambda text: repr(text)[:40])
def test_what_is_no_json_is_one_dead_letter(text: bytes) -> None:
    """A lax reader would settle today what a stricter one refuses tomorrow."""
    for payload in (text, between_bids(text)):
        [letter] = letters_of(payload)
        assert 1 == len(events_of(payload))
        kept = letter.payload, letter.payload_bytes
        assert (payload[:LETTER_MAX_BYTES], len(payload)) == kept
        assert letter.error.startswith(NO_JSON)


@given(
    payload=st.one_of(
        st.binary(max_size=40), st.lists(st.sampled_from(PARTS), max_size=6).map(b"".join)
    )
)
@example(payload=b"\x00")
@settings(max_examples=600, deadline=None)
def test_two_readers_agree_on_what_is_json(payload: bytes) -> None:
    """Where two readers differ, a rewrite of the decoder would change the ledger of an old log."""
    expected = is_json_to_msgspec(payload)
    letters = letters_of(payload)
    assert expected != any(letter.error.startswith(NO_JSON) for letter in letters)
