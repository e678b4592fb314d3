"""Commands that go into the log: open and close a market, grant credits, place a bid.

Promise: nothing is sent that the registry refuses, and what is printed as sent was acknowledged: it
is in the log. By default a command waits until its window closes and prints the outcome;
one that the market refused has an exit code of its own. What a command needs is loaded when it
runs, so that help comes at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from flows.cli.console import AsJson, start
from flows.cli.numbers import WHOLE
from state.errors import SettingsError

if TYPE_CHECKING:
    from flows.runtime.settings import Settings
    from walras_schemas import CommandBase

Market = Annotated[str, Parameter(help="Market name.")]
Agent = Annotated[str, Parameter(help="Agent name.")]
InMicros = Annotated[
    bool,
    Parameter(
        name="--micros", negative="", show_default=False, help="Amounts are given in micro-credits."
    ),
]
Wait = Annotated[
    bool,
    Parameter(negative="--no-wait", help="Wait until the window closes and print the outcome."),
]
GRANT_WORDS: Final = {"agent_id": "AGENT", "amount_micros": "CREDITS"}
BID_WORDS: Final = {
    "resource": "RESOURCE",
    "quantity": "QUANTITY",
    "unit_price_micros": "--price",
    "min_quantity": "--min-quantity",
    "bundle": "--bundle",
    "limit_micros": "--limit",
}


def open_market(
    file: Annotated[Path, Parameter(help="TOML file with the keys of `market_opened`.")],
    /,
    *,
    market: Annotated[str | None, Parameter(help="Market name (default: the file's name).")] = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    from flows.cli.listing import change_text, read_listing
    from flows.cli.market_file import read_market_file, read_pricing
    from flows.cli.sending import await_outcome, new_id, report, send
    from flows.cli.wording import require_names
    from flows.runtime.pricing_plan import save_choices
    from flows.runtime.servers import open_servers
    from walras_schemas import subjects

    opened, choices = read_market_file(file, event_id=new_id()), read_pricing(file)
    name = market or file.stem
    require_names(market=name)
    settings = _settings(wait=wait)
    with open_servers(settings) as servers:
        before = read_listing(servers.postgres_dsn, name)
        save_choices(servers.postgres_dsn, name, choices)
        sent = send(servers, subjects.market(name), opened)
        if wait:
            sent = await_outcome(settings, servers, sent)
    report(sent, as_json=as_json, applied=change_text(name, before, opened))


def close_market(market: Market, /, *, wait: Wait = True, as_json: AsJson = False) -> None:
    from flows.cli.sending import checked
    from flows.cli.wording import require_names
    from walras_schemas import MarketClosed, subjects

    require_names(market=market)
    closed = checked(MarketClosed, {})
    applied = f"market {market} is closed: balances stay, and opening it again continues it"
    _send(subjects.market(market), closed, wait=wait, as_json=as_json, applied=applied)


def grant(  # noqa: PLR0913 - one argument for each word of the command line
    market: Market,
    agent: Agent,
    amount: Annotated[str, Parameter(help="Amount in credits: 12.5", name="CREDITS")],
    /,
    *,
    micros: InMicros = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    from flows.cli.amounts import credits_text, micros_of
    from flows.cli.sending import checked
    from flows.cli.wording import require_names
    from walras_schemas import CreditsGranted, subjects

    require_names(market=market, agent=agent)
    amount_micros = micros_of(amount, name="grant", in_micros=micros)
    granted = checked(CreditsGranted, GRANT_WORDS, agent_id=agent, amount_micros=amount_micros)
    applied = f"granted: {agent} has {credits_text(amount_micros)} more credits in {market}"
    _send(subjects.grant(market), granted, wait=wait, as_json=as_json, applied=applied)


def bid(  # noqa: PLR0913 - a bid has so many parts, and a command line names each
    market: Market,
    agent: Agent,
    resource: Annotated[str | None, Parameter(help="Resource to bid for.")] = None,
    quantity: Annotated[int | None, WHOLE, Parameter(help="Number of units.")] = None,
    /,
    *,
    price: Annotated[str | None, Parameter(help="Highest price per unit, in credits.")] = None,
    min_quantity: Annotated[
        int | None, WHOLE, Parameter(help="Fewest units to accept (default: 1).")
    ] = None,
    bundle: Annotated[
        str | None, Parameter(help="Several resources, all or nothing: tokens=500,cpu_ms=2000")
    ] = None,
    limit: Annotated[str | None, Parameter(help="Highest price of the bundle, in credits.")] = None,
    micros: InMicros = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    from flows.cli.amounts import micros_of, parse_bundle
    from flows.cli.sending import checked
    from flows.cli.wording import require_names
    from walras_schemas import BidPlaced, subjects

    require_names(market=market, agent=agent)
    given = {
        "resource": resource,
        "quantity": quantity,
        "unit_price_micros": price and micros_of(price, name="price", in_micros=micros),
        "min_quantity": min_quantity,
        "bundle": bundle and parse_bundle(bundle),
        "limit_micros": limit and micros_of(limit, name="limit", in_micros=micros),
    }
    fields = {key: part for key, part in given.items() if part is not None}
    _require_one_form(fields)
    placed = checked(BidPlaced, BID_WORDS, **fields)
    _send(subjects.bid(market, agent), placed, wait=wait, as_json=as_json)


def _require_one_form(fields: dict[str, Any]) -> None:
    """Refuse what is neither a bid for one resource nor one for a bundle."""
    words = list(BID_WORDS)
    of_unit, of_bundle = words[:4], words[4:]
    if not any(field in fields for field in of_bundle):
        needed = of_unit[:3]
    elif any(field in fields for field in of_unit):
        mixed = [BID_WORDS[field] for field in words if field in fields]
        raise _no_form(f"{', '.join(mixed)} do not go together")
    else:
        needed = of_bundle
    if missing := [BID_WORDS[field] for field in needed if field not in fields]:
        raise _no_form(f"{', '.join(missing)} missing")
    least, most = fields.get("min_quantity", 0), fields.get("quantity", 0)
    if least > most:
        raise _no_form(f"--min-quantity {least} is above QUANTITY {most}")


def _no_form(detail: str) -> SettingsError:
    return SettingsError(
        "the bid is not complete, or says too much",
        detail=detail,
        hint="A bid has RESOURCE, QUANTITY and --price, or --bundle and --limit: see "
        "`walras bid --help`",
    )


def _send(
    subject: str, command: "CommandBase", *, wait: bool, as_json: bool, applied: str = ""
) -> None:
    """Send a command, wait for its outcome if that is wanted, and print it."""
    from flows.cli.sending import await_outcome, report, send
    from flows.runtime.servers import open_servers

    settings = _settings(wait=wait)
    with open_servers(settings) as servers:
        sent = send(servers, subject, command)
        if wait:
            sent = await_outcome(settings, servers, sent)
    report(sent, as_json=as_json, applied=applied)


def _settings(*, wait: bool) -> "Settings":
    """Only a running deployment gives an outcome; a log takes commands at any time."""
    from flows.runtime.deployment import for_reading, for_trading

    return for_trading(start()) if wait else for_reading(start())
