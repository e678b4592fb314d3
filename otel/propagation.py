"""The context of a trace on its way through the log: W3C's `traceparent`, in a header of NATS.

Promise: a message that is not sampled costs a search in bytes and no object. The sender's flag is
not trusted: of what it marks, a share is kept that depends on the trace id alone, so that every
process, and a restart, decide alike. Source: https://www.w3.org/TR/trace-context/.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

TRACEPARENT: Final = b"traceparent"
FORM: Final = re.compile(
    rb"^traceparent:[ \t]*00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})[ \t]*\r?$", re.MULTILINE
)
SAMPLED_FLAG: Final = 1
LOW_BITS: Final = 56
"""How much of a trace id is random, by W3C's level 2; samplers compare these bits."""


class Parent(NamedTuple):
    """The span of the sender, as its header names it."""

    trace_id: int
    span_id: int


class Door:
    """Which messages are traced."""

    def __init__(self, ratio: float) -> None:
        self._bound = round(ratio * (1 << LOW_BITS))

    def admits(self, trace_id: int) -> bool:
        """Whether the trace is among the share that is kept."""
        return trace_id & ((1 << LOW_BITS) - 1) < self._bound

    def sampled(self, heads: Sequence[bytes]) -> list[tuple[int, Parent]]:
        """Of a batch of heads those to be traced: their places, and their senders' spans."""
        if TRACEPARENT not in b"".join(heads):
            return []
        return [
            (place, parent)
            for place, head in enumerate(heads)
            if (parent := parse(head)) and self.admits(parent.trace_id)
        ]


def parse(head: bytes) -> Parent | None:
    """The sender's span, if its header is well formed and marks it as sampled."""
    found = FORM.search(head)
    if found is None or not int(found[3], 16) & SAMPLED_FLAG:
        return None
    parent = Parent(int(found[1], 16), int(found[2], 16))
    return parent if parent.trace_id and parent.span_id else None


def span_id(*place: object) -> int:
    """The id of a span, from its place in the log: made again, it is the same span."""
    return int.from_bytes(_digest(place)[:8], "big") or 1


def trace_id(*place: object) -> int:
    """The id of a trace that begins here, from its place in the log."""
    return int.from_bytes(_digest(place)[:16], "big") or 1


def _digest(place: Sequence[object]) -> bytes:
    return sha256("/".join(map(str, place)).encode()).digest()
