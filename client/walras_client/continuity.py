"""Whether a result follows on the one before it, or something between them was missed.

Promise: a result that follows leaves out nothing: its balance is the last one plus all that it says
was received, minus what was paid and given away, and no own command before it is without a result.
What cannot be judged does not follow; the ledger settles it.
"""

from typing import Final

from walras_client.sent import Sent
from walras_schemas import AgentResult, BidOutcome, CommandOutcome, CommandStatus

UNANSWERED_MAX: Final = 10_000


class Continuity:
    """What one reader of results knows after the last one that it handed out."""

    def __init__(self, sent: Sent) -> None:
        self.settled_seq = 0
        """All results of own commands before this sequence were handed out."""
        self._sent = sent
        self._considered = 0
        self._unanswered: set[int] = set()
        self._forgot_some = False
        self._balance_micros: int | None = None

    def follows(self, result: AgentResult) -> bool:
        """Whether nothing lies between the last result and this one."""
        return self._adds_up(result) and not self._overtakes(result)

    def lacks_before(self, seq: int) -> bool:
        """Whether an own command before the sequence has no result."""
        self._consider()
        return self._forgot_some or any(sent < seq for sent in self._unanswered)

    def add(self, result: AgentResult) -> None:
        """Take note of a result that was handed out."""
        self._consider()
        self._balance_micros = result.balance_micros
        self._unanswered.difference_update(outcome.seq for outcome in result.outcomes or ())

    def settle(self, seq: int) -> None:
        """Everything before the sequence was handed out, whatever is still without a result."""
        self._consider()
        self._unanswered = {sent for sent in self._unanswered if sent >= seq}
        self._forgot_some = False
        self.settled_seq = max(self.settled_seq, seq)

    def _consider(self) -> None:
        """Take note of what was acknowledged since the last time."""
        new = self._sent.since(self._considered)
        self._considered = self._sent.count
        self._unanswered.update(new.seqs)
        self._forgot_some |= not new.is_whole
        if len(self._unanswered) > UNANSWERED_MAX:
            self._unanswered.clear()
            self._forgot_some = True

    def _adds_up(self, result: AgentResult) -> bool:
        if not result.complete or self._balance_micros is None:
            return False
        balance = self._balance_micros + sum(each.amount_micros for each in result.credits or ())
        for outcome in result.outcomes or ():
            spent = self._spent_micros(outcome)
            if spent is None:
                return False
            balance -= spent
        return balance == result.balance_micros

    def _overtakes(self, result: AgentResult) -> bool:
        """Whether an own command from before this window is still without a result."""
        answered = {outcome.seq for outcome in result.outcomes or ()}
        return bool(answered) and self.lacks_before(min(answered))

    def _spent_micros(self, outcome: BidOutcome | CommandOutcome) -> int | None:
        """What the command moved away from the agent; None of a transfer sent by other means."""
        if isinstance(outcome, BidOutcome):
            return outcome.paid_micros
        if outcome.type != "credits_transferred" or outcome.status is not CommandStatus.APPLIED:
            return 0
        sent = self._sent.get(outcome.event_id)
        return None if sent is None else sent.given_micros
