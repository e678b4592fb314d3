"""The ids of commands.

Promise: each is a UUIDv7 of now that sorts after all that this process drew before, also within one
millisecond.
"""

from uuid_utils import uuid7


def new_event_id() -> str:
    """A fresh id, for one command."""
    return str(uuid7())
