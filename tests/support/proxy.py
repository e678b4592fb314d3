"""A line to a server that can be reset, can hold what is on its way, or can swallow it.

It carries every connection that is made to it. Promise: held bytes arrive later and in order, also
those of a sender that has died meanwhile; after bytes were swallowed, every connection that may
have lost some is reset, so that no stream goes on with a hole in it.
"""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final

from connectors.nats.background_loop import wait_for

CHUNK: Final = 1 << 16
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

Dial = Callable[[], Awaitable[tuple[StreamReader, StreamWriter]]]


class Line:
    """All connections to one server."""

    def __init__(self, dial: Dial) -> None:
        self.port = 0
        self.carried = 0
        """How many connections there were."""
        self._dial = dial
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._swallows = False
        self._ends: set[StreamWriter] = set()

    def reset(self) -> None:
        """Reset every connection that there is."""
        wait_for(self._reset())

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Connections are made, and all that is sent over them waits until the block ends."""
        wait_for(self._hold(hold=True))
        try:
            yield
        finally:
            wait_for(self._hold(hold=False))

    @contextmanager
    def swallowing(self) -> Iterator[None]:
        """Connections are accepted, and nothing that is sent over them arrives."""
        wait_for(self._swallow(swallow=True))
        try:
            yield
        finally:
            wait_for(self._swallow(swallow=False))

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection until both sides have ended it."""
        self.carried += 1
        self._ends.add(writer)
        try:
            if self._swallows:
                await self._pump(reader, writer)
            else:
                await self._join(reader, writer)
        finally:
            writer.close()
            self._ends.discard(writer)

    async def _join(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):  # the server is not there: whoever called is hung up on
            theirs, ours = await self._dial()
            self._ends.add(ours)
            try:
                await asyncio.gather(self._pump(reader, ours), self._pump(theirs, writer))
            finally:
                self._ends.discard(ours)

    async def _pump(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):  # one side is gone; the other is told by the close
            while said := await reader.read(CHUNK):
                await self._flowing.wait()
                if not self._swallows:
                    writer.write(said)
                    await writer.drain()
        writer.close()

    async def _hold(self, *, hold: bool) -> None:
        if hold:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _swallow(self, *, swallow: bool) -> None:
        self._swallows = swallow
        if not swallow:
            await self._reset()

    async def _reset(self) -> None:
        for end in list(self._ends):
            if not end.is_closing():
                own: socket.socket = end.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                end.transport.abort()


@asynccontextmanager
async def line(dial: Dial) -> AsyncIterator[Line]:
    """A line for a block, on a port of the loopback."""
    made = Line(dial)
    listening = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        await made._reset()  # noqa: SLF001 - it is the end of the object
        await listening.wait_closed()
