"""The log as the checker reads it: one pass over the stream itself, with no code of the flow.

Promise: how many outcomes a message must have follows from its bytes alone.
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from connectors.files.logfile import LoggedMessage
from tests.chaos.publishers import fingerprint
from walras_schemas import BATCH_MAX

CLOCK: Final = "clock."


@dataclass(slots=True)
class Log:
    """What is remembered of every message, by its place: sequence 1 comes first."""

    fingerprints: list[bytes] = field(default_factory=list)
    commands: "array[int]" = field(default_factory=lambda: array("H"))
    """How many outcomes each message must have; a tick has none."""
    seqs: "array[int]" = field(default_factory=lambda: array("Q"))

    def noted(self, messages: Iterable[LoggedMessage]) -> Iterator[LoggedMessage]:
        """The same messages, each remembered as it passes."""
        for message in messages:
            self.seqs.append(message.seq)
            self.fingerprints.append(fingerprint(message.subject, message.payload))
            self.commands.append(commands_in(message.subject, message.payload))
            yield message


def commands_in(subject: str, payload: bytes) -> int:
    """How many commands a message holds, well-formed or not; what is no JSON counts as one."""
    if subject.startswith(CLOCK):
        return 0
    try:
        held: Any = json.loads(payload.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 1
    return len(held) if isinstance(held, list) and 0 < len(held) <= BATCH_MAX else 1


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
