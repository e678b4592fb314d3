"""What can go wrong in the world around the market, as one tree of exceptions.

    WalrasError
    ├── SettingsError            a setting is wrong, before anything started (exit code 2)
    ├── ServerUnreachable        NATS or Postgres does not answer (exit code 3)
    ├── LogError                 the log is not the one the ledger was built from (exit code 4)
    │   ├── LogGap               a sequence is missing
    │   └── LogReplaced          the stream was deleted and made again
    ├── ShardReplaced            another worker claimed the shard (exit code 5)
    ├── LedgerDiverged           the ledger holds other rows than the log gives (exit code 6)
    ├── CommandRefused           the market rejected a command that was typed (exit code 7)
    ├── BidLost                  a bid that was typed won nothing (exit code 8)
    └── BooksBroken              an audit found rows that break the ledger's promises (exit code 9)

A bug of ours is an assertion, an agent's mistake is a `RejectionReason`; only the world's failures
are exceptions. Each message has three parts: what happened, the detail, what to do.
"""

from typing import ClassVar


class WalrasError(Exception):
    """A failure of the world, told in three parts: what happened, the detail, the hint."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, detail: str, hint: str) -> None:
        super().__init__(what, detail, hint)
        self.what = what
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}: {self.detail}. {self.hint}."

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword: Bytewax carries exceptions between its workers."""
        return _rebuild, (type(self), self.what, self.detail, self.hint)


def _rebuild(kind: type[WalrasError], what: str, detail: str, hint: str) -> WalrasError:
    return kind(what, detail=detail, hint=hint)


class SettingsError(WalrasError):
    """A setting, file or argument is wrong; nothing was started."""

    exit_code = 2


class ServerUnreachable(WalrasError):
    """NATS or Postgres did not answer within the deadline."""

    exit_code = 3


class LogError(WalrasError):
    """The log is not the one the ledger was built from."""

    exit_code = 4


class LogGap(LogError):
    """A sequence between the ledger's `next_seq` (next to read) and the log's first is missing."""


class LogReplaced(LogError):
    """The stream of the shard was deleted and made again: its sequences mean other messages."""


class ShardReplaced(WalrasError):
    """The fencing token in the ledger is not ours: a successor has claimed the shard."""

    exit_code = 5


class LedgerDiverged(WalrasError):
    """A window computed again from the log gives another digest than the ledger holds."""

    exit_code = 6


class CommandRefused(WalrasError):
    """A command is in the log, and the market rejected it."""

    exit_code = 7


class BidLost(WalrasError):
    """A bid was admitted, and won no unit."""

    exit_code = 8


class BooksBroken(WalrasError):
    """An audit of the ledger found rows that cannot be what the market wrote."""

    exit_code = 9
