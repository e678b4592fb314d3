"""A simulated population trades in a market: each agent takes its turns, the log takes its bids.

Promise: what the tally counts as acknowledged is in the log, each command once; who has less than
its stake is granted the rest before the first turn; agents know what the market told them and
nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy
from uuid_utils import uuid7

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import ask
from connectors.nats.connection import connected
from connectors.nats.outbox import Outbox
from connectors.nats.subjects import RESULTS
from flows.deliveries import Deliveries, Tally, deliveries
from flows.deployment import Servers
from flows.population import Agent, Moment, Prices, seat_agents, stake_micros
from flows.settings import Settings
from state.errors import SettingsError
from walras_schemas import (
    TREASURY,
    AgentResult,
    Command,
    CreditsGranted,
    CreditsTransferred,
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
    async with (
        connected(servers.nats_url, name="walras agents") as nc,
        Outbox(nc) as outbox,
        _following(nc, market, population, run.heard),
        deliveries(outbox, run.tally) as post,
    ):
        session = Session(market, population, run.heard.prices, post)
        await session.endow(known.balances)
        await session.trade(turns_per_s * seconds, turns_per_s=turns_per_s, seed=seed)
    return run


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
async def _following(
    nc: Client, market: str, population: Iterable[Agent], heard: Hearsay
) -> AsyncIterator[None]:
    """Within the block every agent hears its own results, and all hear the prices."""
    agents = {agent.name: agent for agent in population}

    async def hear(msg: Msg) -> None:
        if msg.subject == subjects.window(market):
            heard.hear(MarketWindow.model_validate_json(msg.data))
            return
        result = AgentResult.model_validate_json(msg.data)
        heard.outcomes.update(outcome.status for outcome in result.outcomes)
        if result.agent_id in agents:
            agents[result.agent_id].learn(result)

    wanted = [subjects.window(market), f"result.{market}.*"]
    subscription = await nc.jetstream().subscribe(
        "",
        stream=RESULTS,
        cb=hear,
        ordered_consumer=True,
        config=ConsumerConfig(filter_subjects=wanted, deliver_policy=DeliverPolicy.NEW),
    )
    try:
        yield
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()


@dataclass(frozen=True, slots=True)
class Session:
    """A population in its market, from its first credits to its last turn."""

    market: str
    population: Sequence[Agent]
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
                grant = CreditsGranted(
                    event_id=new_id(), agent_id=agent.name, amount_micros=stake - owned
                )
                await self.post.send(subjects.grant(self.market), grant, sender=TREASURY)

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
                new_id=new_id,
            )
            for command in agent.act(now):
                await self.post.send(self._subject(agent, command), command, sender=agent.name)

    def _subject(self, agent: Agent, command: Command) -> str:
        if isinstance(command, CreditsTransferred):
            return subjects.transfer(self.market, agent.name)
        return subjects.bid(self.market, agent.name)


def rush_percent(turn: int, *, of: int) -> int:
    """How much agents want in a turn: more and more up to the middle of the run, then less."""
    from_the_nearer_end = min(turn, of - turn)
    return QUIET_PERCENT + (RUSH_PERCENT - QUIET_PERCENT) * 2 * from_the_nearer_end // of


def new_id() -> str:
    """An event id of now."""
    return str(uuid7())
