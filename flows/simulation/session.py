"""A simulated population trades in a market: each agent takes its turns, the log takes its bids.

Promise: what is counted as acknowledged is in the log, each command once; an agent with less than
its stake is granted the rest before the first turn; agents know what the market published and
nothing else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Final

from nats.errors import Error as NatsError

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import ask
from connectors.nats.commands import commands
from connectors.nats.connection import Retry
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.simulation.population import Agent, Prices, TurnContext, seat_agents, stake_micros
from flows.simulation.sender import BoundedSender, Receipt, SendStats, Submit, bounded_sender
from state.errors import ServerUnreachable, SettingsError, WalrasError
from walras_client import (
    ClientError,
    Results,
    Unacknowledged,
    Unavailable,
    WalrasClient,
    new_event_id,
)
from walras_client.client import RETRY_TIMEOUT_S
from walras_schemas import (
    TREASURY,
    CommandBase,
    CreditsGranted,
    MarketWindow,
    ResourcePrice,
    message_id,
    subjects,
)

MS_PER_S: Final = 1000
WINDOWS_TO_WAIT: Final = 3
POLL_INTERVAL_S: Final = 0.1
QUIET_PERCENT: Final = 75
RUSH_PERCENT: Final = 150
"""What agents want at the ends and in the middle of a run, in percent of an ordinary day."""

LAST_PRICES: Final = """
SELECT resource, reference_micros, reserve_micros, clearing_micros, supply, demanded, wanted,
    sold, stale
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
class MarketView:
    """What the population received from the market so far; may be read while it grows."""

    prices: dict[str, ResourcePrice]
    windows: list[MarketWindow] = field(default_factory=list)
    """Each window that closed, once, in order."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many commands ended in which status."""

    def update(self, window: MarketWindow) -> None:
        """Add a window's prices; a repeated one changes nothing."""
        if not self.windows or window.window_id > self.windows[-1].window_id:
            self.windows.append(window)
            self.prices.update({price.resource: price for price in window.prices})


@dataclass(slots=True)
class Run:
    """A population's run as it goes: what was sent, and what was received."""

    stats: SendStats = field(default_factory=SendStats)
    market: MarketView = field(default_factory=lambda: MarketView(prices={}))

    @property
    def unanswered(self) -> int:
        """Commands of agents that were sent, and have no outcome yet that was received."""
        operators = sum(command.sender == TREASURY for command in self.stats.acknowledged)
        return self.stats.sent - operators - self.market.outcomes.total()


async def run_population(  # noqa: PLR0913 - the command line names every one of these
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
    """Let `agents` trade for `seconds`, with `rate` turns per second among them.

    A turn is about one command. Without a rate each agent takes one turn per window. `run` may be
    read meanwhile; it is returned once everything that was sent is acknowledged.
    """
    run = run or Run()
    knowledge = read_market(servers.postgres_dsn, market)
    turns_per_s = rate or max(1, agents * MS_PER_S // settings.window_ms)
    turns_per_window = max(1, turns_per_s * settings.window_ms // (agents * MS_PER_S))
    population = seat_agents(
        knowledge.prices, agents=agents, seed=seed, turns_per_window=turns_per_window
    )
    run.market.prices.update(knowledge.prices)
    names = [agent.name for agent in population]
    with _translated_errors():
        async with (
            WalrasClient.connect_many(servers.nats_url, market=market, agents=names) as clients,
            granting(servers.nats_url, market) as grant,
            _subscriptions(clients, population, run.market),
            bounded_sender(run.stats) as sender,
        ):
            session = Session(population, clients, grant, run.market.prices, sender)
            await session.fund_agents(knowledge.balances)
            await session.trade(turns_per_s * seconds, turns_per_s=turns_per_s, seed=seed)
            await _answers(run, wait_s=WINDOWS_TO_WAIT * settings.window_ms / MS_PER_S)
    return run


async def _answers(run: Run, *, wait_s: float) -> None:
    """Return when the agents have received all their outcomes, or when that takes too long."""
    clock = asyncio.get_running_loop()
    give_up_at_s = clock.time() + wait_s
    while run.unanswered and clock.time() < give_up_at_s:  # noqa: ASYNC110 - many tasks count
        await asyncio.sleep(POLL_INTERVAL_S)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """The client's errors as those of the command line."""
    try:
        yield
    except (Unavailable, Unacknowledged) as away:
        raise ServerUnreachable(away.what, detail=away.detail, hint=away.hint) from away
    except ClientError as failure:
        raise WalrasError(failure.what, detail=failure.detail, hint=failure.hint) from failure


def read_market(postgres_dsn: str, market: str) -> Knowledge:
    """The market as the ledger has it; `SettingsError` when it has none."""
    with open_ledger(postgres_dsn) as ledger:
        rows = ask(ledger, LAST_PRICES, market=market).records()
        balances = ask(ledger, BALANCES, market=market).rows
    if not rows:
        raise SettingsError(
            f"the market {market} cannot be traded in",
            detail="the ledger has no window of it",
            hint="Open it with `walras market open FILE`, and let `walras up` run for a window",
        )
    prices = [ResourcePrice.model_validate(row) for row in rows]
    return Knowledge(
        prices={price.resource: price for price in prices},
        balances=dict(balances),
    )


@asynccontextmanager
async def granting(url: str, market: str) -> AsyncIterator[Submit]:
    """Publishes grants as the operator, for the credits that agents start with."""
    subject = subjects.grant(market)
    async with commands(url) as publisher:

        async def submit(granted: Sequence[CommandBase]) -> Receipt:
            (grant,) = granted
            payload = grant.model_dump_json().encode()
            msg_id = message_id(market, TREASURY, [grant.event_id])
            retry = Retry(
                "credits cannot be granted",
                hint="Check that nats-server runs, and that the log is not full",
                limit_s=RETRY_TIMEOUT_S,
            )
            while True:
                try:
                    return await publisher.publish(subject, payload, msg_id=msg_id)
                except NatsError as error:
                    await retry.wait(error)

        yield submit


@asynccontextmanager
async def _subscriptions(
    clients: Mapping[str, WalrasClient], population: Iterable[Agent], view: MarketView
) -> AsyncIterator[None]:
    """Within the block every agent receives its own results, and all receive the prices."""
    results = [_follow_results(clients[each.name].results(), each, view) for each in population]
    prices = _follow_prices(next(iter(clients.values())), view)
    tasks = [asyncio.create_task(coro) for coro in [prices, *results]]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for failure in ended:
        if isinstance(failure, Exception):
            raise failure


async def _follow_results(results: Results, agent: Agent, view: MarketView) -> None:
    async for result in results:
        view.outcomes.update(outcome.status for outcome in result.outcomes or ())
        view.outcomes.update(result.counts or {})
        agent.learn(result)


async def _follow_prices(client: WalrasClient, view: MarketView) -> None:
    async for window in client.prices_feed():
        view.update(window)


@dataclass(frozen=True, slots=True)
class Session:
    """A population in its market, from its first credits to its last turn."""

    population: Sequence[Agent]
    clients: Mapping[str, WalrasClient]
    """Each agent's own place in the market, by its name."""
    grant: Submit
    prices: Prices
    """The last received: they change while the session runs."""
    sender: BoundedSender

    async def fund_agents(self, balances: Mapping[str, int]) -> None:
        """Give each agent what it lacks of its stake; a later run finds most of them provided."""
        for agent in self.population:
            stake = stake_micros(self.prices, agent.kind, agents=len(self.population))
            owned = balances.get(agent.name, 0)
            agent.balance_micros = max(owned, stake)
            if owned < stake:
                rest = CreditsGranted(
                    event_id=new_event_id(), agent_id=agent.name, amount_micros=stake - owned
                )
                await self.sender.send(self.grant, rest, sender=TREASURY)

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
            context = TurnContext(
                prices=self.prices,
                turns_left=-(-(turns - turn) // len(order)),
                rush_percent=rush_percent(turn, of=turns),
                payees=names,
                new_id=new_event_id,
            )
            for command in agent.act(context):
                await self.sender.send(self.clients[agent.name].submit, command, sender=agent.name)


def rush_percent(turn: int, *, of: int) -> int:
    """How much agents want in a turn: more and more up to the middle of the run, then less."""
    from_the_nearer_end = min(turn, of - turn)
    return QUIET_PERCENT + (RUSH_PERCENT - QUIET_PERCENT) * 2 * from_the_nearer_end // of
