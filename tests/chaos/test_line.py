"""The line does to its connections what the run says that it does."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest

from connectors.nats.background_loop import held, wait_for
from tests.support.proxy import Line, line

SOON_S = 0.2
WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection over the line; the server at the other end says all again."""

    reader: StreamReader
    writer: StreamWriter

    def say(self, said: bytes) -> None:
        wait_for(self._say(said))

    def hear(self, size: int, *, within_s: float = WITHIN_S) -> bytes:
        """So many bytes; `TimeoutError` when they do not come, an error when they cannot."""
        return wait_for(asyncio.wait_for(self.reader.readexactly(size), within_s))

    async def _say(self, said: bytes) -> None:
        self.writer.write(said)
        await self.writer.drain()


@contextmanager
def connected_to(over: Line) -> Iterator[Peer]:
    reader, writer = wait_for(asyncio.open_connection("127.0.0.1", over.port))
    yield Peer(reader, writer)
    wait_for(closed(writer))


async def closed(writer: StreamWriter) -> None:
    writer.close()


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while said := await reader.read(100):
        writer.write(said)
    writer.close()


@asynccontextmanager
async def line_to_echo() -> AsyncIterator[Line]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with line(lambda: asyncio.open_connection("127.0.0.1", port)) as made:
        yield made
    server.close()


@pytest.fixture
def over() -> Iterator[Line]:
    with held(line_to_echo()) as made:
        yield made


def test_it_carries_and_resets(over: Line) -> None:
    """A reset that ends a connection in peace tests another way through the clients."""
    with connected_to(over) as peer:
        peer.say(b"hello")
        assert b"hello" == peer.hear(5)
        over.reset()
        with pytest.raises(ConnectionResetError):
            peer.hear(1)
    with connected_to(over) as again:
        again.say(b"again")
        assert b"again" == again.hear(5)


def test_held_bytes_arrive_later_and_in_order(over: Line) -> None:
    """A stalled network delivers; one that loses bytes is another fault."""
    with connected_to(over) as peer, ExitStack() as later:
        with over.holding():
            peer.say(b"one ")
            late = later.enter_context(connected_to(over))
            late.say(b"late")
            peer.say(b"two")
            with pytest.raises(TimeoutError):
                peer.hear(1, within_s=SOON_S)
        assert (b"one two", b"late") == (peer.hear(7), late.hear(4))


def test_swallowed_bytes_never_arrive(over: Line) -> None:
    """After a hole in a stream, whatever follows would be read as something else."""
    with connected_to(over) as before, ExitStack() as later:
        with over.swallowing():
            before.say(b"lost")
            meanwhile = later.enter_context(connected_to(over))
            meanwhile.say(b"lost")
            with pytest.raises(TimeoutError):
                before.hear(1, within_s=SOON_S)
        for peer in (before, meanwhile):
            with pytest.raises(ConnectionResetError):
                peer.hear(1)


def test_a_server_that_is_not_there_hangs_up() -> None:
    """A client that hears nothing waits for its own deadline, which is another fault."""

    async def nobody() -> tuple[StreamReader, StreamWriter]:
        raise ConnectionRefusedError

    with (
        held(line(nobody)) as over,
        connected_to(over) as peer,
        pytest.raises(asyncio.IncompleteReadError),
    ):
        peer.hear(1)
