"""Messages come out the same however the wire is cut; nats-py's own parser is the measure."""

import asyncio
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.errors import ProtocolError
from nats.protocol import parser as parser_of_nats_py
from nats.protocol.parser import Parser

from walras_client.nats.connection import readable
from walras_client.nats.wire import DeliveryParser

WORDS: Final = st.binary(min_size=1, max_size=8).filter(
    lambda word: not set(word) & set(b" \t\r\n\v\f")
)
HEADS: Final = st.sampled_from(
    [b"NATS/1.0\r\n\r\n", b"NATS/1.0 100\r\n\r\n", b"NATS/1.0\r\na: b\r\n\r\n"]
)
DIRECT: Final = 7
NUMBERS: Final = st.sampled_from([DIRECT, 8])

Call = tuple[object, ...]


class Client:
    """Stands where the connection does: what a parser calls it with is what it has understood."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        name = subject.decode(errors="backslashreplace")
        self.calls.append((sid, name, reply, data, headers or b""))

    async def _process_ping(self) -> None:
        self.calls.append(("ping",))

    async def _process_pong(self) -> None:
        self.calls.append(("pong",))

    async def _process_err(self, reason: str) -> None:
        self.calls.append(("error", reason))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.calls.append(("info", *info))


@st.composite
def message(draw: st.DrawFn) -> bytes:
    subject, number = draw(WORDS), draw(NUMBERS)
    reply = draw(st.one_of(st.just(b""), st.from_regex(rb"[a-z0-9.]{1,9} ", fullmatch=True)))
    head, data = draw(st.one_of(st.just(b""), HEADS)), draw(st.binary(max_size=20))
    lengths = b"%d %d" % (len(head), len(head + data)) if head else b"%d" % len(data)
    command = b"HMSG" if head else b"MSG"
    return b"%b %b %d %b%b\r\n%b%b\r\n" % (command, subject, number, reply, lengths, head, data)


FRAMES: Final = st.one_of(
    message(),
    st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'no'\r\n", b"INFO {}\r\n"]),
)


async def calls(parser: Parser, chunks: list[bytes]) -> list[Call]:
    for chunk in chunks:
        await parser.parse(chunk)
    made: list[Call] = parser.nc.calls
    return made


@given(frames=st.lists(FRAMES, max_size=12), cuts=st.lists(st.integers(0, 500)))
def test_however_it_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    """A socket gives what it has: half a number, or three messages and a half."""
    wire = b"".join(frames)
    places = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    chunks = [wire[at:to] for at, to in pairwise(places)]
    client = Client()
    parser = DeliveryParser(client)  # type: ignore[arg-type]
    parser.direct[b"%d" % DIRECT] = lambda frames: client.calls.extend(
        (DIRECT, readable(subject), reply, data, head) for subject, reply, data, head in frames
    )
    assert asyncio.run(calls(Parser(Client()), [wire])) == asyncio.run(calls(parser, chunks))


def test_only_deliveries_go_direct() -> None:
    """What a server says of the request itself has no reply subject, and the client reads it."""
    client = Client()
    direct: list[bytes] = []
    parser = DeliveryParser(client)  # type: ignore[arg-type]
    parser.direct[b"%d" % DIRECT] = lambda frames: direct.extend(reply for _, reply, *_ in frames)
    wire = b"MSG a 7 0\r\n\r\nMSG a 7 r 0\r\n\r\nMSG a 8 r 0\r\n\r\n"
    asyncio.run(calls(parser, [wire]))
    assert [b"r"] == direct
    assert [(7, b""), (8, b"r")] == [(each[0], each[2]) for each in client.calls]


@pytest.mark.parametrize("space", [b"\f", b"\v", b"\t"])
def test_a_subject_may_hold_what_python_calls_a_space(space: bytes) -> None:
    """To the server it is a part of the subject: nats-py alone would end the connection at it."""
    client = Client()
    wire = b"MSG a%bb 8 2\r\nok\r\nHMSG a%bb 8 12 14\r\nNATS/1.0\r\n\r\nok\r\n" % (space, space)
    asyncio.run(calls(DeliveryParser(client), [wire]))  # type: ignore[arg-type]
    subject = f"a{space.decode()}b"
    assert [(8, subject, b"ok")] * 2 == [(each[0], each[1], each[3]) for each in client.calls]


@pytest.mark.parametrize("line", [b"MSG", b"MSG 0", b"MSG a b c d 0", b"MSG a x 0", b"HMSG a 8 0"])
def test_what_is_no_message_is_a_protocol_error(line: bytes) -> None:
    """Read on after it, every later frame would be cut at the wrong place."""
    parser = DeliveryParser(Client())  # type: ignore[arg-type]
    with pytest.raises(ProtocolError):
        asyncio.run(calls(parser, [line + b"\r\n\r\n"]))


def test_nats_py_is_left_as_it_is() -> None:
    """Another connection of the same process must not get another parser by an import of ours."""
    assert rb"\s" in parser_of_nats_py.MSG_RE.pattern
