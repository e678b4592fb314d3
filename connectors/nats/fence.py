"""How far the results of a shard are told: a mark in their own stream, and their fence.

A batch of results ends with a mark, and enters the stream only behind the mark that its sender
knows. Promise: whoever reads the mark knows what has been told, and who does not know the latest
one tells nothing, however long it slept in between. Source: NATS ADR-50, atomic batch publishing
with `Nats-Expected-Last-Subject-Sequence`.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.js.api import Header

from connectors.nats.subjects import RESULTS, told_subject
from state.window import OutboundMessage
from walras_client.nats.errors import Interrupted
from walras_client.nats.jetstream import API_DEADLINE_S

NOTHING: Final = "404"
SEQUENCE: Final = "Nats-Sequence"


class Mark(msgspec.Struct, frozen=True):
    """What is told: the windows of a ledger up to this part of this one."""

    ledger: str
    """Whose windows are counted: another log, or one that is cut elsewhere, counts anew."""
    window_id: int
    part: int

    def covers(self, other: "Mark") -> bool:
        """Whether what the other stands for is told."""
        return self.ledger == other.ledger and (self.window_id, self.part) >= (
            other.window_id,
            other.part,
        )

    def announced(self, shard: int) -> OutboundMessage:
        """The mark as the last message of its batch."""
        msg_id = f"{shard}:{self.window_id}:told:{self.part}"
        return OutboundMessage(told_subject(shard), msg_id, msgspec.json.encode(self))


@dataclass(frozen=True, slots=True)
class Fence:
    """The latest mark of a shard and its sequence; 0 where the stream has none."""

    seq: int = 0
    mark: Mark | None = None

    def lets_nothing_in(self, mark: Mark) -> bool:
        """Whether what this mark stands for is told already."""
        return self.mark is not None and self.mark.covers(mark)


async def read_fence(nc: Client, shard: int) -> Fence:
    """The fence as the stream has it."""
    question = f"$JS.API.DIRECT.GET.{RESULTS}.{told_subject(shard)}"
    answer = await nc.request(question, timeout=API_DEADLINE_S)
    headers = answer.headers or {}
    status = headers.get(Header.STATUS)
    if status == NOTHING:
        return Fence()
    if status is not None:
        raise Interrupted(f"{RESULTS}: {status} {headers.get(Header.DESCRIPTION, '')}")
    return Fence(int(headers[SEQUENCE]), _mark(answer.data))


def _mark(payload: bytes) -> Mark | None:
    try:
        return msgspec.json.decode(payload, type=Mark)
    except msgspec.MsgspecError:
        return None  # a stranger wrote it: that says nothing of our windows
