"""Commands that go into the log: open a market, grant credits, place a bid.

Promise: nothing is sent that the registry refuses, and what is printed as sent was acknowledged: it
is in the log. Whether it was admitted, and what it won, is known when its window has closed. What a
command needs is loaded when it runs, so that help comes at once.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.console import print_data, start
from flows.cli.numbers import WHOLE

Market = Annotated[str, Parameter(help="Market name.")]
Agent = Annotated[str, Parameter(help="Agent name.")]
InMicros = Annotated[
    bool,
    Parameter(
        name="--micros", negative="", show_default=False, help="Amounts are given in micro-credits."
    ),
]


def open_market(
    file: Annotated[Path, Parameter(help="TOML file with the keys of `market_opened`.")],
    /,
    *,
    market: Annotated[str | None, Parameter(help="Market name (default: the file's name).")] = None,
) -> None:
    from flows.cli.market_file import read_market_file, read_pricing
    from flows.cli.sending import new_id, send, subject_of
    from flows.runtime.pricing_plan import save_choices
    from flows.runtime.servers import open_servers
    from walras_schemas import subjects

    opened, choices = read_market_file(file, event_id=new_id()), read_pricing(file)
    name = market or file.stem
    subject = subject_of(subjects.market, name)
    with open_servers(start()) as servers:
        save_choices(servers.postgres_dsn, name, choices)
        send(servers, subject, opened)


def grant(
    market: Market,
    agent: Agent,
    amount: Annotated[str, Parameter(help="Amount in credits: 12.5")],
    /,
    *,
    micros: InMicros = False,
) -> None:
    from flows.cli.amounts import micros_of
    from flows.cli.sending import checked, send, subject_of
    from flows.runtime.servers import open_servers
    from walras_schemas import CreditsGranted, subjects

    granted = checked(
        CreditsGranted,
        agent_id=agent,
        amount_micros=micros_of(amount, name="grant", in_micros=micros),
    )
    subject = subject_of(subjects.grant, market)
    with open_servers(start()) as servers:
        send(servers, subject, granted)


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
    wait: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Wait until the window closes and print the outcome.",
        ),
    ] = False,
) -> None:
    from flows.cli.amounts import micros_of, parse_bundle
    from flows.cli.sending import await_outcome, checked, send, subject_of
    from flows.runtime.servers import open_servers
    from walras_schemas import BidPlaced, subjects

    given = {
        "resource": resource,
        "quantity": quantity,
        "unit_price_micros": price and micros_of(price, name="price", in_micros=micros),
        "min_quantity": min_quantity,
        "bundle": bundle and parse_bundle(bundle),
        "limit_micros": limit and micros_of(limit, name="limit", in_micros=micros),
    }
    placed = checked(BidPlaced, **{key: part for key, part in given.items() if part is not None})
    subject = subject_of(subjects.bid, market, agent)
    settings = start()
    with open_servers(settings) as servers:
        seq = send(servers, subject, placed)
        if wait:
            print_data(await_outcome(settings, servers, market=market, agent=agent, seq=seq))
