"""What the wire brings comes out the same however it is cut; the client's own parser judges."""

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nats.protocol.parser import Parser

from connectors.nats.subjects import readable
from connectors.nats.wire import Delivery, Frames

WORDS = st.binary(min_size=1, max_size=8).filter(lambda word: not set(word) & set(b" \r\n"))
HEADS = st.sampled_from([b"NATS/1.0\r\n\r\n", b"NATS/1.0 100\r\n\r\n", b"NATS/1.0\r\na: b\r\n\r\n"])
STRAIGHT = 7
NUMBERS = st.sampled_from([STRAIGHT, 8])

Told = tuple[object, ...]


class Client:
    """Stands where the connection does: what a parser tells it is what it has understood."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        name = subject.decode(errors="backslashreplace")
        self.told.append((sid, name, reply, data, headers or b""))

    async def _process_ping(self) -> None:
        self.told.append(("ping",))

    async def _process_pong(self) -> None:
        self.told.append(("pong",))

    async def _process_err(self, reason: str) -> None:
        self.told.append(("error", reason))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.told.append(("info", *info))


@st.composite
def message(draw: st.DrawFn) -> bytes:
    subject, number = draw(WORDS), draw(NUMBERS)
    reply = draw(st.one_of(st.just(b""), st.from_regex(rb"[a-z0-9.]{1,9} ", fullmatch=True)))
    head, data = draw(st.one_of(st.just(b""), HEADS)), draw(st.binary(max_size=20))
    lengths = b"%d %d" % (len(head), len(head + data)) if head else b"%d" % len(data)
    command = b"HMSG" if head else b"MSG"
    return b"%b %b %d %b%b\r\n%b%b\r\n" % (command, subject, number, reply, lengths, head, data)


FRAMES = st.one_of(
    message(),
    st.sampled_from([b"PING\r\n", b"PONG\r\n", b"+OK\r\n", b"-ERR 'no'\r\n", b"INFO {}\r\n"]),
)


async def told(parser: Parser, chunks: list[bytes]) -> list[Told]:
    for chunk in chunks:
        await parser.parse(chunk)
    heard: list[Told] = parser.nc.told
    return heard


@given(frames=st.lists(FRAMES, max_size=12), cuts=st.lists(st.integers(0, 500)))
def test_however_it_is_cut(frames: list[bytes], cuts: list[int]) -> None:
    """A socket gives what it has: half a number, or three messages and a half."""
    wire = b"".join(frames)
    places = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    chunks = [wire[at:to] for at, to in pairwise(places)]
    client = Client()
    parser = Frames(client)  # type: ignore[arg-type]
    parser.straight[b"%d" % STRAIGHT] = lambda msg: client.told.append(
        (STRAIGHT, readable(msg.subject), msg.reply, msg.data, msg.head)
    )
    assert asyncio.run(told(Parser(Client()), [wire])) == asyncio.run(told(parser, chunks))


def test_only_deliveries_go_straight() -> None:
    """What a server says of the request itself has no reply subject, and the client reads it."""
    client = Client()
    straight: list[Delivery] = []
    parser = Frames(client)  # type: ignore[arg-type]
    parser.straight[b"%d" % STRAIGHT] = straight.append
    wire = b"MSG a 7 0\r\n\r\nMSG a 7 r 0\r\n\r\nMSG a 8 r 0\r\n\r\n"
    asyncio.run(told(parser, [wire]))
    assert [b"r"] == [msg.reply for msg in straight]
    assert [(7, b""), (8, b"r")] == [(each[0], each[2]) for each in client.told]
