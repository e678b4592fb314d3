"""The wire protocol of NATS: deliveries of a consumer are handed on together, as they come.

Promise: every message that the server sent is read, whatever bytes its subject holds; all but
messages is left to nats-py's own parser, in order. Source: the NATS client protocol.
"""

from collections.abc import Callable, Sequence
from typing import Final

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

CRLF: Final = b"\r\n"
MSG: Final = b"MSG"
HMSG: Final = b"HMSG"
MSG_WORDS: Final = 5
HMSG_WORDS: Final = 6
WORDS: Final = {MSG: MSG_WORDS, HMSG: HMSG_WORDS}
"""Of a first line with a reply subject: command, subject, subscription, reply, lengths."""

Frame = tuple[bytes, bytes, bytes, bytes]
"""Subject, reply subject, payload and head of a message."""

Deliver = Callable[[Sequence[Frame]], None]
"""Gets one message or more, in order; it must not raise."""


class DeliveryParser(Parser):
    """The parser of one connection."""

    def __init__(self, nc: Client) -> None:
        super().__init__(nc)
        self.direct: dict[bytes, Deliver] = {}
        """Subscription, in digits, to the callback for messages with a reply subject on it.

        The client's own way (a message object, its headers, a queue, a task) costs as much again as
        reading the message off the wire (docs/adr/0014).
        """
        self._waiting: list[Frame] = []
        self._number = b""
        """The subscription that the waiting frames belong to."""

    def reset(self) -> None:
        """Forget what was read of an unfinished frame."""
        super().reset()
        self._rest = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what the socket has."""
        try:
            await self._parse(data)
        finally:
            self._deliver()

    async def _parse(self, data: bytes) -> None:
        assert self.nc is not None, "a connection made this parser"
        wire, at, waiting = self._rest + data, 0, self._waiting
        size, number = len(wire), self._number
        # This loop is run for each message: to call for its parts would cost as much as they do.
        while (line_end := wire.find(CRLF, at)) != -1:
            body = line_end + 2
            words = wire[at:line_end].split(b" ")
            if (count := WORDS.get(words[0])) is None:
                self._deliver()
                await super().parse(wire[at:body])
                at = body
                continue
            try:
                end = body + int(words[-1])
                data_at = body + int(words[-2]) if count == HMSG_WORDS else body
            except ValueError:
                raise ProtocolError("nats: malformed MSG") from None
            if end + 2 > size:
                break
            # nats-py's own expressions are not used: they take a form feed or a vertical tab, which
            # to the server is a part of a subject, for the end of it.
            if len(words) == count and words[2] == number:
                waiting.append((words[1], words[3], wire[data_at:end], wire[body:data_at]))
            else:
                number = await self._other(words, count, wire[data_at:end], wire[body:data_at])
            at = end + 2
        self._rest = wire[at:]

    async def _other(self, words: list[bytes], count: int, payload: bytes, head: bytes) -> bytes:
        """Take a message that does not continue what waits; the subscription that may go on."""
        self._deliver()
        if not count - 1 <= len(words) <= count:
            raise ProtocolError("nats: malformed MSG")
        _, subject, number, *_ = words
        reply = words[3] if len(words) == count else b""
        if reply and number in self.direct:
            self._waiting.append((subject, reply, payload, head))
            self._number = number
        else:
            await self._process(number, subject, reply, payload, head)
        return self._number

    def _deliver(self) -> None:
        """Hand on what waits, before anything that came after it."""
        if self._waiting:
            frames = self._waiting.copy()
            self._waiting.clear()
            if deliver := self.direct.get(self._number):
                deliver(frames)

    async def _process(
        self, number: bytes, subject: bytes, reply: bytes, payload: bytes, head: bytes
    ) -> None:
        """What nats-py's own parser does with a message."""
        try:
            sid = int(number)
        except ValueError:
            raise ProtocolError("nats: malformed MSG") from None
        await self.nc._process_msg(sid, subject, reply, payload, head or None)  # noqa: SLF001
