"""Commands that go into the log: open a market, grant credits, place a bid.

Promise: nothing is sent that the registry refuses, and what is told as sent was acknowledged: it is
in the log. Whether it was admitted, and what it won, is known when its window has closed.
"""

import re
import time
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter
from pydantic import ValidationError
from uuid_utils import uuid7

from connectors.duckdb.ledger import open_ledger
from connectors.nats.commands import open_commands
from flows.analytics.questions import outcome_at
from flows.cli.amounts import credits_text, micros_of
from flows.cli.console import note, say
from flows.cli.market_file import read_market_file, read_pricing
from flows.runtime.pricing_plan import save_plan
from flows.runtime.servers import Servers, open_servers
from flows.runtime.settings import Settings, load_settings
from state.errors import SettingsError, WalrasError
from walras_schemas import BidPlaced, CommandBase, CreditsGranted, subjects

LOOK_AGAIN_S: Final = 0.1
WINDOWS_TO_WAIT: Final = 3
GRACE_S: Final = 10
MS_PER_S: Final = 1000
PART: Final = re.compile(r"([^=,]+)=([0-9]+)")

Market = Annotated[str, Parameter(help="Name of the market.")]
Agent = Annotated[str, Parameter(help="Name of the agent.")]
InMicros = Annotated[
    bool,
    Parameter(
        name="--micros", negative="", show_default=False, help="Amounts are given in micro-credits."
    ),
]


def open_market(
    file: Annotated[Path, Parameter(help="TOML file: rule, stale_after_windows, resources.")],
    /,
    *,
    market: Annotated[str | None, Parameter(help="Name of the market, else the file's.")] = None,
) -> None:
    opened, plan = read_market_file(file, event_id=_new_id()), read_pricing(file)
    name = market or file.stem
    subject = _subject(subjects.market, name)
    with open_servers(load_settings()) as servers:
        save_plan(servers.postgres_dsn, name, plan)
        _send(servers, subject, opened)


def grant(
    market: Market,
    agent: Agent,
    amount: Annotated[str, Parameter(help="How much, in credits: 12.5")],
    /,
    *,
    micros: InMicros = False,
) -> None:
    granted = _checked(
        CreditsGranted,
        agent_id=agent,
        amount_micros=micros_of(amount, name="grant", in_micros=micros),
    )
    subject = _subject(subjects.grant, market)
    with open_servers(load_settings()) as servers:
        _send(servers, subject, granted)


def bid(  # noqa: PLR0913 - a bid has so many parts, and a command line names each
    market: Market,
    agent: Agent,
    resource: Annotated[str | None, Parameter(help="What a unit bid is for.")] = None,
    quantity: Annotated[int | None, Parameter(help="How many units of it.")] = None,
    /,
    *,
    price: Annotated[str | None, Parameter(help="The most that a unit may cost.")] = None,
    min_quantity: Annotated[int | None, Parameter(help="Fewer units are of no use.")] = None,
    bundle: Annotated[str | None, Parameter(help="All or nothing: tokens=500,cpu_ms=2000")] = None,
    limit: Annotated[str | None, Parameter(help="The most that the bundle may cost.")] = None,
    micros: InMicros = False,
    wait: Annotated[
        bool, Parameter(negative="", show_default=False, help="Wait for the outcome.")
    ] = False,
) -> None:
    given = {
        "resource": resource,
        "quantity": quantity,
        "unit_price_micros": price and micros_of(price, name="price", in_micros=micros),
        "min_quantity": min_quantity,
        "bundle": bundle and parse_bundle(bundle),
        "limit_micros": limit and micros_of(limit, name="limit", in_micros=micros),
    }
    placed = _checked(BidPlaced, **{key: part for key, part in given.items() if part is not None})
    subject = _subject(subjects.bid, market, agent)
    settings = load_settings()
    with open_servers(settings) as servers:
        seq = _send(servers, subject, placed)
        if wait:
            say(_await_outcome(settings, servers, market=market, agent=agent, seq=seq))


def parse_bundle(text: str) -> dict[str, int]:
    """The bundle that somebody typed: `tokens=500,cpu_ms=2000`."""
    parts = [PART.fullmatch(part.strip()) for part in text.split(",")]
    bundle = {part[1].strip(): int(part[2]) for part in parts if part}
    if len(bundle) != len(parts):
        raise SettingsError(
            "the bundle is not understood",
            detail=f"{text!r} is no list of resources, each once and with its quantity",
            hint="Write it as tokens=500,cpu_ms=2000",
        )
    return bundle


def _new_id() -> str:
    return str(uuid7())


def _checked(kind: type[CommandBase], **fields: Any) -> CommandBase:
    """The command, if the registry takes it."""
    try:
        return kind(event_id=_new_id(), **fields)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise SettingsError(
            f"a market would refuse this {kind.__name__}",
            detail="\n".join(
                ": ".join([*map(str, detail["loc"]), detail["msg"].removeprefix("Value error, ")])
                for detail in details
            ),
            hint="`walras COMMAND --help` tells what it takes",
        ) from error


def _subject(build: Any, *names: str) -> str:
    try:
        subject: str = build(*names)
    except ValueError as error:
        hint = "A name has small letters, digits, - and _, and begins with a letter or digit"
        raise SettingsError("there is no such subject", detail=str(error), hint=hint) from error
    return subject


def _send(servers: Servers, subject: str, command: CommandBase) -> int:
    """Put the command into the log and tell its id; its sequence there."""
    with open_commands(servers.nats_url) as log:
        receipt = log.publish_command(
            subject, command.model_dump_json().encode(), msg_id=command.event_id
        )
    note(f"in the log of {receipt.stream} as message {receipt.seq}")
    say(command.event_id)
    return receipt.seq


def _await_outcome(
    settings: Settings, servers: Servers, *, market: str, agent: str, seq: int
) -> str:
    """The outcome of the bid at `seq`, in words, once its window is committed."""
    patience_s = WINDOWS_TO_WAIT * settings.window_ms // MS_PER_S + GRACE_S
    give_up_at_s = time.monotonic() + patience_s
    with open_ledger(servers.postgres_dsn) as ledger:
        while time.monotonic() < give_up_at_s:
            for record in outcome_at(ledger, market=market, agent=agent, seq=seq).records():
                return _outcome_text(**record)
            time.sleep(LOOK_AGAIN_S)
    raise WalrasError(
        "the bid has no outcome yet",
        detail=f"its window was not committed within {patience_s} s; the bid is in the log",
        hint="Is `walras up` running? Later, `walras bids` tells what became of it",
    )


def _outcome_text(*, status: str, reason: str | None, won: str | None, paid_micros: int) -> str:
    if reason:
        return f"{status}: {reason}"
    return f"{status}: {won} for {credits_text(paid_micros)} credits" if won else status
