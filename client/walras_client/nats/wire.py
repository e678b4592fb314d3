"""The wire protocol of NATS: deliveries of a consumer are handed on as they come.

Promise: every message that the server sent is read, whatever bytes its subject holds; all but
messages is left to nats-py's own parser, in order. Source: the NATS client protocol.
"""

from collections.abc import Callable
from typing import Final

from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

CRLF: Final = b"\r\n"
MSG: Final = b"MSG"
HMSG: Final = b"HMSG"
WORDS: Final = {MSG: 5, HMSG: 6}
"""Of a first line with a reply subject: command, subject, subscription, reply, lengths."""

Deliver = Callable[[bytes, bytes, bytes, bytes], None]
"""Gets subject, reply subject, payload and head of a message; it must not raise."""


class DeliveryParser(Parser):
    """The parser of one connection."""

    def __init__(self, nc: Client) -> None:
        super().__init__(nc)
        self.direct: dict[bytes, Deliver] = {}
        """Subscription, in digits, to the callback for messages with a reply subject on it.

        The client's own way (a message object, its headers, a queue, a task) costs as much again as
        reading the message off the wire (docs/adr/0014).
        """

    def reset(self) -> None:
        """Forget what was read of an unfinished frame."""
        super().reset()
        self._rest = b""

    async def parse(self, data: bytes = b"") -> None:
        """Take in what the socket has."""
        assert self.nc is not None, "a connection made this parser"
        wire, at = self._rest + data, 0
        # This loop is run for each message: to call for its parts would cost as much as they do.
        while (line_end := wire.find(CRLF, at)) != -1:
            words = wire[at:line_end].split(b" ")
            body = line_end + len(CRLF)
            if (count := WORDS.get(words[0])) is None:
                await super().parse(wire[at:body])
                at = body
                continue
            end = body + _number(words[-1]) + len(CRLF)
            if end > len(wire):
                break
            # nats-py's own expressions are not used: they take a form feed or a vertical tab, which
            # to the server is a part of a subject, for the end of it.
            if len(words) == count:
                reply = words[3]
            elif len(words) == count - 1:
                reply = b""
            else:
                raise ProtocolError("nats: malformed MSG")
            data_at = body if words[0] == MSG else body + _number(words[-2])
            head, payload = wire[body:data_at], wire[data_at : end - len(CRLF)]
            deliver = self.direct.get(words[2]) if reply else None
            if deliver is not None:
                deliver(words[1], reply, payload, head)
            else:
                await self.nc._process_msg(  # noqa: SLF001 - what nats-py's own parser calls
                    _number(words[2]), words[1], reply, payload, head or None
                )
            at = end
        self._rest = wire[at:]


def _number(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ProtocolError("nats: malformed MSG") from None
