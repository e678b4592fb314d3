"""The time that an event id carries in itself.

A UUIDv7 opens with 48 bits of milliseconds since 1970; a market judges with them whether the
command is stale.
"""


def uuid7_ms(event_id: str) -> int:
    """Milliseconds since the epoch held in an id that matches EVENT_ID_PATTERN."""
    return int(event_id[:8] + event_id[9:13], 16)
