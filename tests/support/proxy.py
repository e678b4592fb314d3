"""A TCP proxy in front of a server that can reset, hold or swallow what passes.

Promise: held bytes arrive later and in order, also those of a sender that has died meanwhile; after
bytes were swallowed, every connection that may have lost some is reset, so that no stream continues
with a hole in it.
"""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from connectors.nats.background_loop import run_sync

CHUNK: Final = 1 << 16
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

Dial = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


class FaultProxy:
    """All connections to one server; made by `fault_proxy`."""

    def __init__(self, dial: Dial) -> None:
        self.port = 0
        self.carried = 0
        """How many connections there were."""
        self.swallowed_replies = 0
        """How many times something that the server sent was swallowed."""
        self._dial = dial
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._swallows_requests = False
        self._swallows_replies = False
        self._ends: set[StreamWriter] = set()

    def reset(self) -> None:
        """Reset every connection that there is."""
        run_sync(self._reset())

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Connections are made, and all that is sent over them waits until the block ends."""
        run_sync(self._hold(hold=True))
        try:
            yield
        finally:
            run_sync(self._hold(hold=False))

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Connections are accepted, and nothing that is sent over them arrives."""
        run_sync(self._swallow(requests=True, replies=True))
        try:
            yield
        finally:
            run_sync(self._swallow(requests=False, replies=False))

    @contextmanager
    def swallowing_replies(self) -> Iterator[None]:
        """What is sent to the server arrives, and nothing that it sends."""
        run_sync(self._swallow(requests=False, replies=True))
        try:
            yield
        finally:
            run_sync(self._swallow(requests=False, replies=False))

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection until both sides have ended it."""
        self.carried += 1
        self._ends.add(writer)
        try:
            if self._swallows_requests:
                await self._pump(reader, writer, replies=False)
            else:
                await self._join(reader, writer)
        finally:
            writer.close()
            self._ends.discard(writer)

    async def _join(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):  # the server is not there: the caller's connection is closed
            theirs, ours = await self._dial()
            self._ends.add(ours)
            try:
                await asyncio.gather(
                    self._pump(reader, ours, replies=False),
                    self._pump(theirs, writer, replies=True),
                )
            finally:
                self._ends.discard(ours)

    async def _pump(self, reader: StreamReader, writer: StreamWriter, *, replies: bool) -> None:
        with suppress(OSError):  # one side is gone; the other learns it by the close
            while chunk := await reader.read(CHUNK):
                await self._flowing.wait()
                if not (self._swallows_replies if replies else self._swallows_requests):
                    writer.write(chunk)
                    await writer.drain()
                elif replies:
                    self.swallowed_replies += 1
        writer.close()

    async def _hold(self, *, hold: bool) -> None:
        if hold:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _swallow(self, *, requests: bool, replies: bool) -> None:
        self._swallows_requests, self._swallows_replies = requests, replies
        if not replies:
            await self._reset()

    async def _reset(self) -> None:
        for end in list(self._ends):
            if not end.is_closing():
                own: socket.socket = end.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.transport.abort()


@asynccontextmanager
async def fault_proxy(dial: Dial) -> AsyncIterator[FaultProxy]:
    """A proxy for a block, on a port of the loopback."""
    proxy = FaultProxy(dial)
    listening = await asyncio.start_server(proxy.carry, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        await proxy._reset()  # noqa: SLF001 - it is the end of the object
        await listening.wait_closed()


def dial_to(url: str) -> Dial:
    """The way to a server with a URL."""
    address = urlsplit(url)
    return lambda: asyncio.open_connection(address.hostname, address.port)
