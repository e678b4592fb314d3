"""What one agent has put into the log through one client, as far as its results are judged by it.

Promise: memory is bounded; where something was forgotten, who asks learns it.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from walras_schemas import CommandBase, CreditsTransferred

MESSAGES: Final = 10_000
COMMANDS: Final = 20_000


@dataclass(frozen=True, slots=True)
class SentCommand:
    """Where a command lies in the log, and what it gives away."""

    seq: int
    given_micros: int | None
    """Of a transfer its amount; None for any other command."""


@dataclass(frozen=True, slots=True)
class NewMessages:
    """What was acknowledged since somebody last asked."""

    seqs: Sequence[int]
    is_whole: bool
    """False where some were forgotten by now."""


class Sent:
    """The messages that were acknowledged, in the order of their acknowledgements."""

    def __init__(self) -> None:
        self.count = 0
        """How many messages there were."""
        self._seqs: deque[int] = deque(maxlen=MESSAGES)
        self._commands: OrderedDict[str, SentCommand] = OrderedDict()

    def add(self, seq: int, commands: Sequence[CommandBase]) -> None:
        """A message of these commands is in the log."""
        self.count += 1
        self._seqs.append(seq)
        for command in commands:
            given = command.amount_micros if isinstance(command, CreditsTransferred) else None
            self._commands.setdefault(command.event_id, SentCommand(seq, given))
        while len(self._commands) > COMMANDS:
            self._commands.popitem(last=False)

    def since(self, count: int) -> NewMessages:
        """The messages after the first `count`."""
        new = self.count - count
        kept = min(new, len(self._seqs))
        seqs = [self._seqs[-place] for place in range(kept, 0, -1)]
        return NewMessages(seqs, is_whole=kept == new)

    def get(self, event_id: str) -> SentCommand | None:
        """The command, unless it was sent otherwise or is forgotten."""
        return self._commands.get(event_id)
