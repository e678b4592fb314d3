"""What was published to agents and markets, and what the ledger says should have been.

Both are brought to the same form, each by a way of its own: one from the messages of the stream,
the other from the rows of the ledger, and none by the code that makes the messages.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from psycopg import Connection

from state.window import OutboundMessage

Key = tuple[int, str, str]
"""Window, market and agent; what a market gets has no agent."""
Outcome = tuple[Any, ...]

# Everything that was settled for an agent, in the order in which it is published.
_OUTCOMES: Final = """
    SELECT window_id, market, agent_id, seq, ord, event_id, status, reason, paid_micros, won
    FROM (
        SELECT window_id, market, agent_id, seq, ord, event_id, status::text, reason::text,
            paid_micros, CASE
                WHEN won = 0 THEN '{}'::jsonb
                WHEN bundle IS NULL THEN jsonb_build_object(resource, won)
                ELSE bundle
            END AS won
        FROM ledger.bid
        UNION ALL
        SELECT window_id, market, agent_id, seq, ord, event_id,
            CASE WHEN reason IS NULL THEN 'applied' ELSE 'rejected' END, reason::text, NULL, NULL
        FROM ledger.command WHERE agent_id <> 'treasury'
    ) AS outcome
    ORDER BY window_id, market COLLATE "C", agent_id COLLATE "C", seq, ord
"""
_DIGESTS: Final = """
    SELECT DISTINCT window_id, market, encode(digest, 'hex')
    FROM ledger.price JOIN ledger."window" USING (window_id)
"""


@dataclass(slots=True)
class Published:
    """The stream of results."""

    by_key: dict[Key, bytes] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    messages: int = 0
    _parts: dict[Key, list[Outcome]] = field(default_factory=dict)
    _ids: set[bytes] = field(default_factory=set)

    def add(self, message: OutboundMessage) -> None:
        """Take one message; the parts of one result come one after the other."""
        self.messages += 1
        short_id = sha256(message.msg_id.encode()).digest()[:16]
        if short_id in self._ids:
            self.twice.append(message.msg_id)
            return
        self._ids.add(short_id)
        content = json.loads(message.payload)
        key = content["window_id"], content["market"], content.get("agent_id", "")
        if content["type"] == "market_window":
            self.by_key[key] = content["digest"].encode()
            return
        parts = self._parts.setdefault(key, [])
        parts += map(_published_outcome, content["outcomes"])
        if content["part"] == content["parts"]:
            self.by_key[key] = _condensed(self._parts.pop(key))


def due(ledger: Connection) -> Iterator[tuple[Key, bytes]]:
    """All that the ledger says should have been published."""
    with ledger.transaction(), ledger.cursor("outcomes") as rows:
        rows.itersize = 20_000
        rows.execute(_OUTCOMES)
        for key, of_agent in groupby(rows, key=itemgetter(0, 1, 2)):
            yield key, _condensed([row[3:] for row in of_agent])
    for window_id, market, digest in ledger.execute(_DIGESTS):
        yield (window_id, market, ""), digest.encode()


def differences(published: Published, ledger: Iterable[tuple[Key, bytes]]) -> list[str]:
    """Where the two do not say the same."""
    wrong = [f"{msg_id} was published twice" for msg_id in published.twice]
    left = dict(published.by_key)
    for key, expected in ledger:
        found = left.pop(key, None)
        if found != expected:
            wrong.append(f"{_named(key)} got {'something else' if found else 'nothing'}")
    return wrong + [f"{_named(key)} got what the ledger does not hold" for key in left]


def _published_outcome(outcome: dict[str, Any]) -> Outcome:
    fields: Callable[[str], Any] = outcome.get
    names = ("seq", "ord", "event_id", "status", "reason", "paid_micros", "won")
    return tuple(map(fields, names))


def _condensed(outcomes: list[Outcome]) -> bytes:
    """A few bytes that are equal for equal outcomes; all of a long run do not fit into memory."""
    return sha256(json.dumps(outcomes, sort_keys=True).encode()).digest()


def _named(key: Key) -> str:
    window_id, market, agent = key
    return f"window {window_id}, {market}{f', {agent}' if agent else ''}"
