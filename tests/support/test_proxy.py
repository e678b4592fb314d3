"""The proxy does to its connections what a test says that it does."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from connectors.nats.background_loop import open_on_loop, run_sync
from tests.support.eventually import eventually
from tests.support.proxy import FaultProxy, fault_proxy

SOON_S: Final = 0.2
WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Peer:
    """One end of a connection through the proxy; the server at the other end echoes."""

    reader: StreamReader
    writer: StreamWriter

    def send(self, sent: bytes) -> None:
        run_sync(self._send(sent))

    def receive(self, size: int, *, within_s: float = WITHIN_S) -> bytes:
        """So many bytes; `TimeoutError` when they do not come, an error when they cannot."""
        return run_sync(asyncio.wait_for(self.reader.readexactly(size), within_s))

    async def _send(self, sent: bytes) -> None:
        self.writer.write(sent)
        await self.writer.drain()


@contextmanager
def connected_to(proxy: FaultProxy) -> Iterator[Peer]:
    reader, writer = run_sync(asyncio.open_connection("127.0.0.1", proxy.port))
    yield Peer(reader, writer)
    run_sync(closed(writer))


async def closed(writer: StreamWriter) -> None:
    writer.close()


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while sent := await reader.read(100):
        writer.write(sent)
    writer.close()


@asynccontextmanager
async def proxy_to_echo() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with fault_proxy(lambda: asyncio.open_connection("127.0.0.1", port)) as made:
        yield made
    server.close()


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with open_on_loop(proxy_to_echo()) as made:
        yield made


def test_it_carries_and_resets(proxy: FaultProxy) -> None:
    """A reset that ends a connection in peace tests another way through the clients."""
    with connected_to(proxy) as peer:
        peer.send(b"hello")
        assert b"hello" == peer.receive(5)
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            peer.receive(1)
    with connected_to(proxy) as again:
        again.send(b"again")
        assert b"again" == again.receive(5)


def test_held_bytes_arrive_later_and_in_order(proxy: FaultProxy) -> None:
    """A stalled network delivers; one that loses bytes is another fault."""
    with connected_to(proxy) as peer, ExitStack() as later:
        with proxy.holding():
            peer.send(b"one ")
            late = later.enter_context(connected_to(proxy))
            late.send(b"late")
            peer.send(b"two")
            with pytest.raises(TimeoutError):
                peer.receive(1, within_s=SOON_S)
        assert (b"one two", b"late") == (peer.receive(7), late.receive(4))


def test_swallowed_bytes_never_arrive(proxy: FaultProxy) -> None:
    """After a hole in a stream, whatever follows would be read as something else."""
    with connected_to(proxy) as before, ExitStack() as later:
        with proxy.swallowing():
            before.send(b"lost")
            meanwhile = later.enter_context(connected_to(proxy))
            meanwhile.send(b"lost")
            with pytest.raises(TimeoutError):
                before.receive(1, within_s=SOON_S)
        for peer in (before, meanwhile):
            with pytest.raises(ConnectionResetError):
                peer.receive(1)


def test_swallowed_replies_are_lost_after_the_request_arrived(proxy: FaultProxy) -> None:
    """A lost acknowledgement is another fault than a lost message: the log has what was sent."""
    with connected_to(proxy) as peer:
        with proxy.swallowing_replies():
            peer.send(b"arrives")
            eventually(lambda: proxy.swallowed_replies)
        with pytest.raises(ConnectionResetError):
            peer.receive(1)


def test_a_server_that_is_not_there_hangs_up() -> None:
    """A client that is not told waits for its own deadline, which is another fault."""

    async def nobody() -> tuple[StreamReader, StreamWriter]:
        raise ConnectionRefusedError

    with (
        open_on_loop(fault_proxy(nobody)) as proxy,
        connected_to(proxy) as peer,
        pytest.raises(asyncio.IncompleteReadError),
    ):
        peer.receive(1)
