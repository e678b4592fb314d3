"""What event ids carry and are used for: the time in them, and the id of a message.

A UUIDv7 opens with 48 bits of milliseconds since 1970; a market judges with them whether the
command is stale.
"""

from collections.abc import Iterable
from hashlib import sha256


def uuid7_ms(event_id: str) -> int:
    """Milliseconds since the epoch held in an id that matches EVENT_ID_PATTERN."""
    return int(event_id[:8] + event_id[9:13], 16)


def message_id(market: str, sender: str, event_ids: Iterable[str]) -> str:
    """The `Nats-Msg-Id` of a message: of its market, its sender and all event ids in it.

    The sender is the agent, or `treasury` for an operator's command. The same event id in another
    market or by another agent is another command, so no shorter key would do (SEMANTICS §10).
    """
    ids = " ".join(event_ids).lower()
    return sha256(f"{market} {sender} {ids}".encode()).hexdigest()
