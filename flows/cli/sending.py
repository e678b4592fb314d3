"""A command on its way into the log, and the wait for the outcome of a bid.

Promise: a command that the registry refuses is not sent; the id of one that was acknowledged goes
to stdout, and where it is in the log to stderr.
"""

import time
from typing import Any, Final

from pydantic import ValidationError
from uuid_utils import uuid7

from connectors.duckdb.ledger import open_ledger
from connectors.nats.commands import command_id, open_commands
from flows.analytics.answers import outcome_at
from flows.cli.amounts import credits_text
from flows.cli.console import print_data, print_status
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from state.errors import SettingsError, WalrasError
from walras_schemas import CommandBase

POLL_INTERVAL_S: Final = 0.1
WINDOWS_TO_WAIT: Final = 3
GRACE_S: Final = 10
MS_PER_S: Final = 1000


def new_id() -> str:
    """The id of a command that is about to be sent."""
    return str(uuid7())


def checked(kind: type[CommandBase], **fields: Any) -> CommandBase:
    """The command, if the registry accepts it."""
    try:
        return kind(event_id=new_id(), **fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise SettingsError(
            f"a market would refuse this {kind.__name__}",
            detail="\n".join(
                ": ".join([*map(str, detail["loc"]), detail["msg"].removeprefix("Value error, ")])
                for detail in details
            ),
            hint="`walras COMMAND --help` shows what it takes",
        ) from error


def subject_of(build: Any, *names: str) -> str:
    """The subject that `build` makes of these names."""
    try:
        subject: str = build(*names)
    except ValueError as error:
        hint = "A name has small letters, digits, - and _, and begins with a letter or digit"
        raise SettingsError("there is no such subject", detail=str(error), hint=hint) from error
    return subject


def send(servers: Servers, subject: str, command: CommandBase) -> int:
    """Publish a command and print its id; the result is its sequence in the log."""
    with open_commands(servers.nats_url) as log:
        receipt = log.publish_command(
            subject,
            command.model_dump_json().encode(),
            msg_id=command_id(subject, [command.event_id]),
        )
    print_status(f"in the log of {receipt.stream} as message {receipt.seq}")
    print_data(command.event_id)
    return receipt.seq


def await_outcome(
    settings: Settings, servers: Servers, *, market: str, agent: str, seq: int
) -> str:
    """The outcome of the bid at `seq`, in words, once its window is committed."""
    limit_s = WINDOWS_TO_WAIT * settings.window_ms // MS_PER_S + GRACE_S
    give_up_at_s = time.monotonic() + limit_s
    with open_ledger(servers.postgres_dsn) as ledger:
        while time.monotonic() < give_up_at_s:
            for record in outcome_at(ledger, market=market, agent=agent, seq=seq).records():
                return _outcome_text(**record)
            time.sleep(POLL_INTERVAL_S)
    raise WalrasError(
        "the bid has no outcome yet",
        detail=f"its window was not committed within {limit_s} s; the bid is in the log",
        hint="Is `walras up` running? Later, `walras bids` shows the outcome",
    )


def _outcome_text(*, status: str, reason: str | None, won: str | None, paid_micros: int) -> str:
    if reason:
        return f"{status}: {reason}"
    return f"{status}: {won} for {credits_text(paid_micros)} credits" if won else status
