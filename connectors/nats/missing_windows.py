"""Where the stream `WINDOWS` ends for each market, and which windows it does not have yet.

Promise: windows enter the stream in order, each with all its markets before the next, so a market's
last message there tells which of its windows are in it. A window that is published behind that
message is refused where somebody else has published one meanwhile, however long ago.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from connectors.nats.last_by_subject import last_messages
from connectors.nats.subjects import WINDOWS
from state.window import OutboundMessage
from walras_client.nats.connection import Connection

NONE: Final = -1


class _Place(msgspec.Struct):
    """What is read of a message that may be a window."""

    window_id: int


@dataclass(frozen=True, slots=True)
class _End:
    """The last message of a market: its sequence, 0 where there is none, and its window."""

    seq: int
    window_id: int


class StreamEnds:
    """The last message of each market in the stream; each market is asked for once."""

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._ends: dict[str, _End] = {}

    async def missing(self, messages: Sequence[OutboundMessage]) -> list[OutboundMessage]:
        """Those of the messages that are not in the stream; what is no window never is."""
        unknown = [each.subject for each in messages if each.subject not in self._ends]
        for subject, last in (await last_messages(self._nc, WINDOWS, unknown)).items():
            self._ends[subject] = _End(last.seq, _window_of(last.payload))
        return [each for each in messages if not self._has(each)]

    def last_seq(self, subject: str) -> int:
        """The sequence that the next message on the subject has to come after."""
        return self._ends[subject].seq

    def follow(self, message: OutboundMessage, seq: int) -> None:
        """It is the last of its market now."""
        self._ends[message.subject] = _End(seq, _window_of(message.payload))

    def forget(self, subject: str) -> None:
        """Ask the stream again."""
        self._ends.pop(subject, None)

    def _has(self, message: OutboundMessage) -> bool:
        return NONE < _window_of(message.payload) <= self._ends[message.subject].window_id


def _window_of(payload: bytes) -> int:
    try:
        return msgspec.json.decode(payload, type=_Place).window_id
    except msgspec.MsgspecError:
        return NONE
