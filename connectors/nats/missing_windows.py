"""Which windows of a shard a crash kept out of the stream `WINDOWS`.

Promise: windows enter the stream in order, each with all its markets before the next, so a market's
last message there tells which of its windows are in it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from connectors.nats.last_by_subject import LastMessage, last_messages
from connectors.nats.subjects import WINDOWS
from state.window import OutboundMessage
from walras_client.nats.connection import Connection

NONE: Final = -1


class _Place(msgspec.Struct):
    """What is read of a message that may be a window."""

    window_id: int


class StreamEnds:
    """The last window of each market that the stream has; each market is asked for once."""

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._last: dict[str, int] = {}

    async def missing(
        self, window_id: int, messages: Sequence[OutboundMessage]
    ) -> list[OutboundMessage]:
        """Those messages of a window that are not in the stream."""
        unknown = [each.subject for each in messages if each.subject not in self._last]
        found = await last_messages(self._nc, WINDOWS, unknown)
        self._last |= {subject: _window_of(last) for subject, last in found.items()}
        return [each for each in messages if self._last[each.subject] < window_id]


def _window_of(last: LastMessage) -> int:
    try:
        return msgspec.json.decode(last.payload, type=_Place).window_id
    except msgspec.MsgspecError:
        return NONE
