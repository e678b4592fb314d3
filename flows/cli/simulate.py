"""Commands that let simulated agents trade: the demo, and agents for a market that is open.

Apart from `walras up`, which restarts sooner after a crash without loading them.
"""

import asyncio
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import print_data, start
from flows.cli.numbers import WHOLE

AGENTS_MAX: Final = 10_000
SECONDS_MAX: Final = 86_400
RATE_MAX: Final = 1_000_000

Agents = Annotated[
    int, WHOLE, Parameter(validator=Number(gte=1, lte=AGENTS_MAX), help="Number of agents.")
]
Seconds = Annotated[
    int, WHOLE, Parameter(validator=Number(gte=1, lte=SECONDS_MAX), help="Duration in seconds.")
]
Seed = Annotated[int, WHOLE, Parameter(help="The same seed makes the same agents.")]


def demo(*, agents: Agents = 200, seconds: Seconds = 20, seed: Seed = 7) -> int:
    from flows.cli.demo.run import demo as run_demo

    return run_demo(start(), agents=agents, seconds=seconds, seed=seed)


def agents(
    market: Annotated[str, Parameter(help="Name of an open market.")],
    /,
    *,
    agents: Agents = 200,
    rate: Annotated[
        int | None,
        WHOLE,
        Parameter(
            validator=Number(gte=1, lte=RATE_MAX),
            help="Commands per second (default: one turn per agent and window).",
        ),
    ] = None,
    seconds: Seconds = 20,
    seed: Seed = 7,
) -> None:
    from flows.runtime.servers import open_servers
    from flows.simulation.session import run_population

    settings = start()
    with open_servers(settings) as servers:
        trading = run_population(
            settings, servers, market=market, agents=agents, rate=rate, seconds=seconds, seed=seed
        )
        run = asyncio.run(trading)
    print_data(f"{len(run.stats.acknowledged)} commands are in the log")
