"""A simulated population trades in a market: each agent takes its turns, the log takes its bids.

Promise: what the tally counts as acknowledged is in the log, each command once; who has less than
its stake is granted the rest before the first turn; agents know what the market told them and
nothing else.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final, TypeVar

from nats.errors import Error as NatsError

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import ask
from connectors.nats.commands import commands
from connectors.nats.connection import Retry
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.simulation.population import Agent, Moment, Prices, seat_agents, stake_micros
from flows.simulation.sender import Deliveries, Place, Receipt, Tally, deliveries
from state.errors import ServerUnreachable, SettingsError, WalrasError
from walras_client import (
    ClientError,
    Results,
    ResultsLost,
    Subscription,
    Unacknowledged,
    Unavailable,
    WalrasClient,
    new_event_id,
)
from walras_client.client import RETRY_TIMEOUT_S
from walras_client.subscription import OfWindow
from walras_schemas import (
    TREASURY,
    CommandBase,
    CreditsGranted,
    MarketWindow,
    ResourcePrice,
    subjects,
)

MS_PER_S: Final = 1000
QUIET_PERCENT: Final = 75
RUSH_PERCENT: Final = 150
"""What agents want at the ends and in the middle of a run, in percent of an ordinary day."""

LAST_PRICES: Final = """
SELECT resource, reference_micros, clearing_micros, supply, demanded, sold, stale
FROM prices
WHERE market = $market
  AND window_id = (SELECT max(window_id) FROM prices WHERE market = $market)
"""
BALANCES: Final = "SELECT agent_id, balance_micros FROM accounts WHERE market = $market"


log = logging.getLogger(__name__)

T = TypeVar("T", bound=OfWindow)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the ledger says of a market before the first turn."""

    prices: Prices
    balances: Mapping[str, int]


@dataclass(slots=True)
class Hearsay:
    """What the market told the population so far; anyone may look while it grows."""

    prices: dict[str, ResourcePrice]
    windows: list[MarketWindow] = field(default_factory=list)
    """Each window that closed, once, in order."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many commands ended in which status."""

    def hear(self, window: MarketWindow) -> None:
        """Take in a window's prices; one that was told before says nothing new."""
        if not self.windows or window.window_id > self.windows[-1].window_id:
            self.windows.append(window)
            self.prices.update({price.resource: price for price in window.prices})


@dataclass(slots=True)
class Run:
    """A population's run as it goes: what was sent, and what was heard."""

    tally: Tally = field(default_factory=Tally)
    heard: Hearsay = field(default_factory=lambda: Hearsay(prices={}))


async def run_population(  # noqa: PLR0913  # the doors name every one of these
    settings: Settings,
    servers: Servers,
    *,
    market: str,
    agents: int,
    rate: int | None,
    seconds: int,
    seed: int,
    run: Run | None = None,
) -> Run:
    """Let `agents` trade for `seconds`, with `rate` turns a second among them.

    A turn is about one command. Without a rate each agent takes one turn a window. `run` may be
    looked at meanwhile; it is returned once everything that was sent is acknowledged.
    """
    run = run or Run()
    known = read_market(servers.postgres_dsn, market)
    turns_per_s = rate or max(1, agents * MS_PER_S // settings.window_ms)
    turns_a_window = max(1, turns_per_s * settings.window_ms // (agents * MS_PER_S))
    population = seat_agents(known.prices, agents=agents, seed=seed, turns_a_window=turns_a_window)
    run.heard.prices.update(known.prices)
    names = [agent.name for agent in population]
    with _told_as_ours():
        async with (
            WalrasClient.connect_many(servers.nats_url, market=market, agents=names) as clients,
            granting(servers.nats_url, market) as grant,
            _hearing(clients, population, run.heard),
            deliveries(run.tally) as post,
        ):
            session = Session(population, clients, grant, run.heard.prices, post)
            await session.endow(known.balances)
            await session.trade(turns_per_s * seconds, turns_per_s=turns_per_s, seed=seed)
    return run


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """What ended a client, as the doors of the house tell it."""
    try:
        yield
    except (Unavailable, Unacknowledged) as away:
        raise ServerUnreachable(away.what, detail=away.detail, hint=away.hint) from away
    except ClientError as failure:
        raise WalrasError(failure.what, detail=failure.detail, hint=failure.hint) from failure


def read_market(postgres_dsn: str, market: str) -> Knowledge:
    """The market as the ledger knows it; `SettingsError` when it does not."""
    with open_ledger(postgres_dsn) as ledger:
        rows = ask(ledger, LAST_PRICES, market=market).records()
        balances = ask(ledger, BALANCES, market=market).rows
    if not rows:
        raise SettingsError(
            f"nobody can trade in the market {market}",
            detail="the ledger has no window of it",
            hint="Open it with `walras market open FILE`, and let `walras up` run for a window",
        )
    prices = [ResourcePrice.model_validate(row) for row in rows]
    return Knowledge(
        prices={price.resource: price for price in prices},
        balances=dict(balances),
    )


@asynccontextmanager
async def granting(url: str, market: str) -> AsyncIterator[Place]:
    """The operator's way into the log, for the credits that agents start with."""
    subject = subjects.grant(market)
    async with commands(url) as publisher:

        async def place(granted: Sequence[CommandBase]) -> Receipt:
            (grant,) = granted
            payload = grant.model_dump_json().encode()
            retry = Retry(
                "credits cannot be granted",
                hint="Check that nats-server runs, and that the log is not full",
                limit_s=RETRY_TIMEOUT_S,
            )
            while True:
                try:
                    return await publisher.publish(subject, payload, msg_id=grant.event_id)
                except NatsError as error:
                    await retry.wait(error)

        yield place


@asynccontextmanager
async def _hearing(
    clients: Mapping[str, WalrasClient], population: Iterable[Agent], heard: Hearsay
) -> AsyncIterator[None]:
    """Within the block every agent hears its own results, and all hear the prices."""
    talk = [_hear_results(clients[agent.name].results(), agent, heard) for agent in population]
    anyone = next(iter(clients.values()))
    tasks = [asyncio.create_task(task) for task in [_hear_prices(anyone, heard), *talk]]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, Exception):
            raise failure


async def _hear_results(results: Results, agent: Agent, heard: Hearsay) -> None:
    async for result in _all_kept(results):
        heard.outcomes.update(outcome.status for outcome in result.outcomes)
        agent.learn(result)


async def _hear_prices(client: WalrasClient, heard: Hearsay) -> None:
    async for window in _all_kept(client.prices_feed()):
        heard.hear(window)


async def _all_kept(following: Subscription[T]) -> AsyncIterator[T]:
    """Whatever is told; what nobody keeps any more is one thing less that an agent knows."""
    while True:
        try:
            async for news in following:
                yield news
        except ResultsLost as lost:
            log.warning("%s", lost)


@dataclass(frozen=True, slots=True)
class Session:
    """A population in its market, from its first credits to its last turn."""

    population: Sequence[Agent]
    clients: Mapping[str, WalrasClient]
    """Each agent's own place in the market, by its name."""
    grant: Place
    prices: Prices
    """The last that were heard: they change while the session goes on."""
    post: Deliveries

    async def endow(self, balances: Mapping[str, int]) -> None:
        """Give each agent what it lacks of its stake; a later run finds most of them provided."""
        for agent in self.population:
            stake = stake_micros(self.prices, agent.kind, agents=len(self.population))
            owned = balances.get(agent.name, 0)
            agent.balance_micros = max(owned, stake)
            if owned < stake:
                rest = CreditsGranted(
                    event_id=new_event_id(), agent_id=agent.name, amount_micros=stake - owned
                )
                await self.post.send(self.grant, rest, sender=TREASURY)

    async def trade(self, turns: int, *, turns_per_s: int, seed: int) -> None:
        """Give the agents their turns in an order of its own, in even steps; a late one ends it."""
        order = Random(seed).sample(self.population, len(self.population))
        names = [agent.name for agent in self.population]
        clock = asyncio.get_running_loop()
        start_s = clock.time()
        for turn in range(turns):
            now_s = clock.time() - start_s
            if now_s * turns_per_s > turns:
                break
            await asyncio.sleep(max(0.0, turn / turns_per_s - now_s))
            agent = order[turn % len(order)]
            now = Moment(
                prices=self.prices,
                turns_left=-(-(turns - turn) // len(order)),
                rush_percent=rush_percent(turn, of=turns),
                payees=names,
                new_id=new_event_id,
            )
            for command in agent.act(now):
                await self.post.send(self.clients[agent.name].submit, command, sender=agent.name)


def rush_percent(turn: int, *, of: int) -> int:
    """How much agents want in a turn: more and more up to the middle of the run, then less."""
    from_the_nearer_end = min(turn, of - turn)
    return QUIET_PERCENT + (RUSH_PERCENT - QUIET_PERCENT) * 2 * from_the_nearer_end // of
