"""What can go wrong between an agent and its market, as one tree of exceptions.

    ClientError
    ├── Unavailable         NATS does not answer, or holds no deployment
    ├── Denied              the broker refuses the credentials
    ├── SubmitError         the log refused the commands for good
    │   ├── LogFull         it takes nothing more: the commands are not in it
    │   └── Unacknowledged  it did not answer: the outcome is unknown
    ├── OutcomeTimeout      the outcome of a command was not published in time
    ├── OutcomeNotListed    its window was too large to list outcomes: the ledger has it
    └── QueryRefused        a question got no answer, for the reason given

A command that the market refuses is no exception: its outcome says so. Each message has three
parts: what happened, the detail, what to do.
"""

from collections.abc import Sequence

from walras_schemas import CommandBase, QueryErrorReason


class ClientError(Exception):
    """A failure in three parts: what happened, the detail, the hint."""

    def __init__(self, what: str, *, detail: str, hint: str) -> None:
        super().__init__(what, detail, hint)
        self.what = what
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}. {self.hint}."


class Unavailable(ClientError):
    """NATS did not answer until the retries ended, or holds no deployment."""


class Denied(ClientError):
    """The broker refuses the credentials: they are missing, wrong, expired or revoked."""


class SubmitError(ClientError):
    """The log did not acknowledge the commands; `commands` can be submitted again as they are."""

    def __init__(
        self, what: str, *, detail: str, hint: str, commands: Sequence[CommandBase]
    ) -> None:
        super().__init__(what, detail=detail, hint=hint)
        self.commands = tuple(commands)


class LogFull(SubmitError):
    """The log takes nothing more, and did not take these commands."""


class Unacknowledged(SubmitError):
    """The log did not answer: the commands may be in it. Submitted again, they count once."""


class OutcomeTimeout(ClientError):
    """The market did not publish in time the outcome of a command."""


class OutcomeNotListed(ClientError):
    """The window of a command had too many outcomes for one message; SQL finds each."""


class QueryRefused(ClientError):
    """The market refused a question: its names are unknown, or the agent is."""

    def __init__(self, what: str, *, detail: str, hint: str, reason: QueryErrorReason) -> None:
        super().__init__(what, detail=detail, hint=hint)
        self.reason = reason


def unavailable(detail: str) -> Unavailable:
    """NATS is not there, or no market is behind it."""
    return Unavailable(
        "the market cannot be reached",
        detail=detail,
        hint="Check the URL, that nats-server runs, and that `walras up` does",
    )
