"""How the commands of an agent ended, from rows of the ledger to the form of its results."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from walras_schemas import (
    BidOutcome,
    BidStatus,
    CommandOutcome,
    CommandStatus,
    Credit,
    RejectionReason,
)


class BidRow(NamedTuple):
    """A bid of the agent; of a bundle `won` is 0 or 1."""

    window_id: int
    seq: int
    ord: int
    event_id: str
    status: str
    reason: str | None
    paid_micros: int
    won: int
    resource: str | None
    bundle: Mapping[str, int] | None

    def outcome(self) -> BidOutcome:
        """The bid as a result shows it."""
        return BidOutcome(
            event_id=self.event_id,
            seq=self.seq,
            ord=self.ord,
            status=BidStatus(self.status),
            reason=_reason(self.reason),
            won=self._won(),
            paid_micros=self.paid_micros,
        )

    def _won(self) -> dict[str, int]:
        if not self.won:
            return {}
        if self.bundle is not None:
            return dict(sorted(self.bundle.items()))
        assert self.resource is not None, "what is no bundle names a resource"
        return {self.resource: self.won}


class CommandRow(NamedTuple):
    """A command of the agent that is no bid."""

    window_id: int
    seq: int
    ord: int
    event_id: str
    type: Any
    reason: str | None
    purpose: str | None

    def outcome(self) -> CommandOutcome:
        """The command as a result shows it."""
        return CommandOutcome(
            event_id=self.event_id,
            seq=self.seq,
            ord=self.ord,
            type=self.type,
            status=CommandStatus.APPLIED if self.reason is None else CommandStatus.REJECTED,
            reason=_reason(self.reason),
            **_purpose(self.purpose),
        )


class CreditRow(NamedTuple):
    """Credits that the agent received."""

    window_id: int
    seq: int
    ord: int
    kind: Any
    from_agent_id: str
    amount_micros: int
    purpose: str | None

    def credit(self) -> Credit:
        """The credits as a result shows them."""
        return Credit(
            seq=self.seq,
            ord=self.ord,
            kind=self.kind,
            from_agent_id=self.from_agent_id,
            amount_micros=self.amount_micros,
            **_purpose(self.purpose),
        )


def outcome_status(text: str) -> BidStatus | CommandStatus:
    """The status of a bid or of another command; both may be rejected, by the same word."""
    return CommandStatus.APPLIED if text == CommandStatus.APPLIED else BidStatus(text)


def _reason(text: str | None) -> RejectionReason | None:
    return None if text is None else RejectionReason(text)


def _purpose(text: str | None) -> dict[str, str]:
    """The field, which is absent where no purpose was given; an empty one was."""
    return {} if text is None else {"purpose": text}
