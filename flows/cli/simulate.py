"""Doors that let simulated agents trade: the demo, and agents for a market that is open.

They stand apart from `walras up`, which comes back sooner after a crash without loading them.
"""

import asyncio
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import say
from flows.cli.demo.run import demo as run_demo
from flows.runtime.servers import open_servers
from flows.runtime.settings import load_settings
from flows.simulation.session import run_population

Agents = Annotated[int, Parameter(validator=Number(gte=1), help="How many agents trade.")]
Seconds = Annotated[int, Parameter(validator=Number(gte=1), help="For how long.")]
Seed = Annotated[int, Parameter(help="The same seed seats the same agents.")]


def demo(*, agents: Agents = 200, seconds: Seconds = 20, seed: Seed = 7) -> int:
    return run_demo(load_settings(), agents=agents, seconds=seconds, seed=seed)


def agents(
    market: Annotated[str, Parameter(help="Name of the market, which is open.")],
    /,
    *,
    agents: Agents = 200,
    rate: Annotated[
        int | None,
        Parameter(validator=Number(gte=1), help="Commands a second; else one turn a window each."),
    ] = None,
    seconds: Seconds = 20,
    seed: Seed = 7,
) -> None:
    settings = load_settings()
    with open_servers(settings) as servers:
        trading = run_population(
            settings, servers, market=market, agents=agents, rate=rate, seconds=seconds, seed=seed
        )
        run = asyncio.run(trading)
    say(f"{len(run.tally.acknowledged)} commands are in the log")
