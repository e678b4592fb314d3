"""What can go wrong between an agent and its market, as one tree of exceptions.

    ClientError
    ├── ServerAway          NATS does not answer, or holds no deployment
    ├── NotPlaced           the log refused the commands for good
    │   ├── LogFull         it takes nothing more: the commands are not in it
    │   └── Unacknowledged  it did not answer: the commands may be in it or not
    ├── ResultsLost         results were dropped before they were read
    ├── NoOutcome           the outcome of a command was not told in time
    └── QueryRefused        a question got no answer, for the reason given

A command that the market refuses is no exception: its outcome says so. Each message has three
parts: what happened, the detail, what to do.
"""

from collections.abc import Sequence

from walras_schemas import CommandBase, QueryErrorReason


class ClientError(Exception):
    """A failure told in three parts: what happened, the detail, the hint."""

    def __init__(self, what: str, *, detail: str, hint: str) -> None:
        super().__init__(what, detail, hint)
        self.what = what
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}. {self.hint}."


class ServerAway(ClientError):
    """NATS did not answer for as long as the client has patience, or holds no deployment."""


class NotPlaced(ClientError):
    """Commands that the log did not acknowledge; `commands` can be placed again as they are."""

    def __init__(
        self, what: str, *, detail: str, hint: str, commands: Sequence[CommandBase]
    ) -> None:
        super().__init__(what, detail=detail, hint=hint)
        self.commands = tuple(commands)


class LogFull(NotPlaced):
    """The log takes nothing more, and did not take these commands."""


class Unacknowledged(NotPlaced):
    """The log did not answer: the commands may be in it. Placed again, they count once."""


class ResultsLost(ClientError):
    """Results may have been dropped between the last one read and the first one that is kept.

    Reading goes on with what is kept; `Results.rebuild` tells the rest from the ledger.
    """


class NoOutcome(ClientError):
    """The market did not tell in time what became of a command."""


class QueryRefused(ClientError):
    """The market did not answer a question."""

    def __init__(self, what: str, *, detail: str, hint: str, reason: QueryErrorReason) -> None:
        super().__init__(what, detail=detail, hint=hint)
        self.reason = reason
