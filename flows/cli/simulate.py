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
"""One process plays them all: with more than these it falls behind its own clock."""
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

    return run_demo(start(context=False), agents=agents, seconds=seconds, seed=seed)


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
    from rich.console import Console

    from flows.cli.demo.progress import RunView, progress
    from flows.runtime.deployment import for_trading
    from flows.runtime.servers import Servers, open_servers
    from flows.simulation.session import Run, run_population

    settings, run = for_trading(start()), Run()
    console = Console(stderr=True, highlight=False)

    async def trade(servers: Servers) -> None:
        async with progress(console, run, seconds=seconds):
            await run_population(
                settings,
                servers,
                market=market,
                agents=agents,
                rate=rate,
                seconds=seconds,
                seed=seed,
                run=run,
            )

    with open_servers(settings) as servers:
        asyncio.run(trade(servers))
    print_data(RunView(run, seconds=seconds).counts())
