"""A command on its way into the log, and the wait for its outcome.

Promise: a command that the registry refuses is not sent; the id of one that was acknowledged goes
to stdout, and where it is in the log to stderr.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from uuid_utils import uuid7

from connectors.duckdb.ledger import open_ledger
from connectors.nats.commands import command_id, open_commands
from connectors.nats.subjects import shard_of
from flows.analytics.answers import outcome_at
from flows.cli.amounts import credits_text
from flows.cli.console import print_data, print_json, print_status
from flows.cli.reasons import ANY_HINT, BECAUSE, HINTS
from flows.cli.wording import describe
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from state.errors import BidLost, CommandRefused, SettingsError, WalrasError
from walras_schemas import BidStatus, CommandBase, subjects

POLL_INTERVAL_S: Final = 0.1
WINDOWS_TO_WAIT: Final = 3
GRACE_S: Final = 10
MS_PER_S: Final = 1000
APPLIED: Final = "applied"
BOUGHT: Final = frozenset({APPLIED, BidStatus.WON, BidStatus.PARTIALLY_WON})

Command = TypeVar("Command", bound=CommandBase)


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that is in the log, and what became of it once its window has closed."""

    market: str
    agent: str | None
    event_id: str
    shard: int
    seq: int
    status: str | None = None
    reason: str | None = None
    won: Mapping[str, int] | None = None
    paid_micros: int | None = None


def new_id() -> str:
    """The id of a command that is about to be sent."""
    return str(uuid7())


def checked(kind: type[Command], words: Mapping[str, str], **fields: Any) -> Command:
    """The command, if the registry accepts it; `words` names the fields as the user does."""
    try:
        return kind(event_id=new_id(), **fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise SettingsError(
            "the command is not valid",
            detail="\n".join(describe(detail, words) for detail in details),
            hint="Nothing was sent: correct it and try again",
        ) from error


def send(servers: Servers, subject: str, command: CommandBase) -> Sent:
    """Publish a command."""
    with open_commands(servers.nats_url) as log:
        receipt = log.publish_command(
            subject,
            command.model_dump_json().encode(),
            msg_id=command_id(subject, [command.event_id]),
        )
    print_status(f"in the log of {receipt.stream} as message {receipt.seq}")
    about = subjects.parse(subject)
    assert about is not None, "the registry made the subject"
    assert about.market is not None, "a command is sent into a market"
    return Sent(
        market=about.market,
        agent=about.agent,
        event_id=command.event_id,
        shard=shard_of(receipt.stream),
        seq=receipt.seq,
    )


def await_outcome(settings: Settings, servers: Servers, sent: Sent) -> Sent:
    """The command with its outcome, once its window is committed."""
    limit_s = WINDOWS_TO_WAIT * settings.window_ms / MS_PER_S + GRACE_S
    give_up_at_s = time.monotonic() + limit_s
    with open_ledger(servers.postgres_dsn) as ledger:
        while time.monotonic() < give_up_at_s:
            found = outcome_at(ledger, market=sent.market, agent=sent.agent, seq=sent.seq)
            for record in found.records():
                return Sent(**asdict(sent) | record)
            time.sleep(POLL_INTERVAL_S)
    raise WalrasError(
        "there is no outcome yet",
        detail=f"the window was not committed within {limit_s:g} s; the command is in the log as "
        f"message {sent.seq} of shard {sent.shard} and counts",
        hint="Is `walras up` running? `walras windows` shows what was committed last",
    )


def report(sent: Sent, *, as_json: bool, applied: str = APPLIED) -> None:
    """Print what became of a command; raise what its exit code is to be when that is bad.

    `applied` is what to say of an operator's command that the market took.
    """
    if as_json:
        print_json(asdict(sent))
    else:
        print_data(sent.event_id)
        if sent.status is not None:
            print_data(applied if sent.status == APPLIED else _outcome_text(sent))
    require_applied(sent)
    if sent.status is not None and sent.status not in BOUGHT:
        raise BidLost(
            "the bid won nothing",
            detail=f"{sent.status}: others offered more per unit, or the supply was too small",
            hint=f"`walras prices {sent.market}` shows what each resource cleared at",
        )


def require_applied(sent: Sent) -> None:
    """Raise `CommandRefused` when the market rejected the command."""
    if sent.status != BidStatus.REJECTED:
        return
    reason = str(sent.reason)
    hint = HINTS.get(reason, ANY_HINT).format(market=sent.market, agent=sent.agent or "AGENT")
    raise CommandRefused(
        "the market refused the command",
        detail=f"{reason}: {BECAUSE.get(reason, 'docs/semantics.md has what it means')}",
        hint=hint,
    )


def _outcome_text(sent: Sent) -> str:
    if sent.reason:
        return f"{sent.status}: {sent.reason}"
    if not sent.won:
        return str(sent.status)
    won = ", ".join(f"{quantity} {resource}" for resource, quantity in sorted(sent.won.items()))
    return f"{sent.status}: {won} for {credits_text(sent.paid_micros or 0)} credits"
