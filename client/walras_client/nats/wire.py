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
MALFORMED: Final = "nats: malformed MSG"
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
        wire, at, waiting = self._rest + data, 0, self._waiting
        size = len(wire)
        # This loop is run for each message: to call for its parts would cost as much as they do.
        while (line_end := wire.find(CRLF, at)) != -1:
            words, body = wire[at:line_end].split(b" "), line_end + 2
            if len(words) == HMSG_WORDS and words[2] == self._number and words[0] == HMSG:
                _, subject, _, reply, head_size, content_size = words
                try:
                    data_at, end = body + int(head_size), body + int(content_size)
                except ValueError:
                    raise ProtocolError(MALFORMED) from None
                if end + 2 > size:
                    break
                waiting.append((subject, reply, wire[data_at:end], wire[body:data_at]))
                at = end + 2
            elif words[0] in WORDS:
                end = body + _number(words[-1])
                if end + 2 > size:
                    break
                await self._other_message(words, wire[body:end])
                at = end + 2
            else:
                self._deliver()
                await super().parse(wire[at:body])
                at = body
        self._rest = wire[at:]

    async def _other_message(self, words: list[bytes], content: bytes) -> None:
        """Take a message that does not continue what waits, or has no head."""
        # nats-py's own expressions are not used: they take a form feed or a vertical tab, which to
        # the server is a part of a subject, for the end of it.
        assert self.nc is not None, "a connection made this parser"
        count = WORDS[words[0]]
        if not count - 1 <= len(words) <= count:
            raise ProtocolError(MALFORMED)
        subject, number = words[1:3]
        reply = words[3] if len(words) == count else b""
        data_at = _number(words[-2]) if words[0] == HMSG else 0
        payload, head = content[data_at:], content[:data_at]
        if number != self._number or not reply:
            self._deliver()
        if reply and number in self.direct:
            self._number = number
            self._waiting.append((subject, reply, payload, head))
        else:
            await self.nc._process_msg(  # noqa: SLF001 - what nats-py's own parser calls
                _number(number), subject, reply, payload, head or None
            )

    def _deliver(self) -> None:
        """Hand on what waits, before anything that came after it."""
        if self._waiting:
            frames = self._waiting.copy()
            self._waiting.clear()
            if deliver := self.direct.get(self._number):
                deliver(frames)


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ProtocolError(MALFORMED) from None
