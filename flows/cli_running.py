"""Doors that run a market: the deployment, the demo and simulated agents.

Promise: `up` ends cleanly on SIGINT and SIGTERM, with exit code 0, and a second start goes on where
it stopped; a second signal does not wait.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from flows import deployment
from flows.agents import run_population
from flows.cli_words import note, say
from flows.demo import demo as run_demo
from flows.settings import Settings, load_settings

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Agents = Annotated[int, Parameter(validator=Number(gte=1), help="How many agents trade.")]
Seconds = Annotated[int, Parameter(validator=Number(gte=1), help="For how long.")]
Seed = Annotated[int, Parameter(help="The same seed seats the same agents.")]


def up() -> None:
    settings = load_settings()
    with _stopping() as stop, deployment.open_servers(settings) as servers:
        deployment.prepare(settings, servers)
        _tell_where(settings, servers)
        with deployment.companions(settings, servers):
            deployment.run(settings, servers, stop, ready=lambda: say("ready"))
    note("stopped")


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
    with deployment.open_servers(settings) as servers:
        trading = run_population(
            settings, servers, market=market, agents=agents, rate=rate, seconds=seconds, seed=seed
        )
        run = asyncio.run(trading)
    say(f"{len(run.tally.acknowledged)} commands are in the log")


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first signal sets; the second one acts as it would anywhere."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}

    def restore() -> None:
        for number, reaction in before.items():
            signal.signal(number, reaction)

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()
        restore()
        note("stopping; a second signal ends it at once")

    for number in STOP_SIGNALS:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        restore()


def _tell_where(settings: Settings, servers: deployment.Servers) -> None:
    """Where the log and the ledger are; a server that was named keeps its password to itself."""
    say(f"windows of {settings.window_ms} ms, {settings.shards} shard(s)")
    if settings.nats_url is None:
        say(f"export WALRAS_NATS_URL={servers.nats_url}")
    if settings.postgres_dsn is None:
        say(f"export WALRAS_POSTGRES_DSN='{servers.postgres_dsn}'")
