"""Cut what the wire brings into frames, and hand on at once what a consumer delivers.

Promise: what no straight reader takes, nats-py's own parser gets whole, frame by frame and in
order, so that all but deliveries goes the client's own way. Source: the NATS client protocol.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import ProtocolError
from nats.protocol import parser
from typing_extensions import override

CRLF: Final = b"\r\n"
MSG: Final = b"MSG"
HMSG: Final = b"HMSG"
WORDS: Final = {MSG: 5, HMSG: 6}
"""Of a first line with a reply subject: command, subject, subscription, reply, lengths."""

# To the server a form feed or a vertical tab is a part of a subject; nats-py would split at it.
parser.MSG_RE = re.compile(rb"\AMSG ([^ \r\n]+) (\d+) (([^ \r\n]+) )?(\d+)\r\n")
parser.HMSG_RE = re.compile(rb"\AHMSG ([^ \r\n]+) (\d+) (([^ \r\n]+) )?(\d+) (\d+)\r\n")


class Delivery(msgspec.Struct, gc=False):
    """A message of a stream as the wire brings it."""

    subject: bytes
    reply: bytes
    data: bytes
    head: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Its headers, read when somebody asks for them."""
        return Client._parse_header_lines(self.head) if self.head else {}  # noqa: SLF001


Deliver = Callable[[Delivery], None]


class Frames(parser.Parser):
    """The parser of a connection."""

    def __init__(self, nc: Client) -> None:
        super().__init__(nc)
        self.straight: dict[bytes, Deliver] = {}
        """Subscription, in digits, to who takes what a consumer delivers on it: messages with a
        reply subject.

        The client's own way (a message object, its headers, a queue, a task) costs as much again as
        reading the message off the wire (docs/adr/0014). A reader must not raise.
        """

    @override
    def reset(self) -> None:
        super().reset()
        self._rest = b""

    @override
    async def parse(self, data: bytes = b"") -> None:
        wire, at = self._rest + data, 0
        # This loop is run for each message: to call for its parts would cost as much as they do.
        while (line_end := wire.find(CRLF, at)) != -1:
            words = wire[at:line_end].split(b" ")
            body = end = line_end + len(CRLF)
            deliver = None
            if (count := WORDS.get(words[0])) is not None:
                end += _length(words[-1]) + len(CRLF)
                if end > len(wire):
                    break
                deliver = self.straight.get(words[2]) if len(words) == count else None
            if deliver is None:
                await super().parse(wire[at:end])
            else:
                data_at = body if words[0] == MSG else body + int(words[4])
                payload = wire[data_at : end - len(CRLF)]
                deliver(Delivery(words[1], words[3], payload, wire[body:data_at]))
            at = end
        self._rest = wire[at:]


def _length(digits: bytes) -> int:
    try:
        return int(digits)
    except ValueError:
        raise ProtocolError("nats: malformed MSG") from None
