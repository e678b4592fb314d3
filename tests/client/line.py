"""A line to a server that a test can cut: what the server says is lost, what it is told arrives."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CHUNK = 1 << 16


class Line:
    """Carries every connection made to it to one server."""

    def __init__(self, url: str) -> None:
        host, _, port = url.removeprefix("nats://").rpartition(":")
        self._server = (host, int(port))
        self._deaf = False
        self._heard_while_deaf = asyncio.Event()
        self._open: set[StreamWriter] = set()

    def go_deaf(self) -> None:
        """From now on nothing that the server says comes through."""
        self._deaf = True

    async def hung_up(self) -> None:
        """Once the server has said something in vain, cut all connections and hear again."""
        await self._heard_while_deaf.wait()
        for writer in self._open:
            writer.close()
        self._deaf = False

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        theirs, ours = await asyncio.open_connection(*self._server)
        self._open |= {writer, ours}
        with suppress(ConnectionError):
            await asyncio.gather(self._speak(reader, ours), self._hear(theirs, writer))
        for end in (writer, ours):
            end.close()
            self._open.discard(end)

    async def _speak(self, reader: StreamReader, server: StreamWriter) -> None:
        while said := await reader.read(CHUNK):
            server.write(said)
        server.close()

    async def _hear(self, server: StreamReader, writer: StreamWriter) -> None:
        while heard := await server.read(CHUNK):
            if self._deaf:
                self._heard_while_deaf.set()
            else:
                writer.write(heard)
        writer.close()


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[str, Line]]:
    """The address of a line, and the line."""
    line = Line(url)
    async with await asyncio.start_server(line.carry, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        yield f"nats://{host}:{port}", line
