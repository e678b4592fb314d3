"""A population on real servers: what it says it published is in the log, and nothing else is."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator

import pytest

from connectors.nats.background_loop import run_sync
from connectors.nats.commands import open_commands
from connectors.nats.export import LogLine, export_log
from connectors.nats.topology import shard_config
from flows.cli.demo.run import RESOURCES, flow_running
from flows.runtime.servers import Servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import prepare
from flows.simulation import sender as sender_module
from flows.simulation.population import Prices, seat_agents, stake_micros
from flows.simulation.sender import Acknowledged, SendStats, bounded_sender
from flows.simulation.session import (
    QUIET_PERCENT,
    RUSH_PERCENT,
    Run,
    Session,
    granting,
    read_market,
    run_population,
    rush_percent,
)
from state.errors import SettingsError
from tests.client.fake_market import FakeLedger, answering
from tests.support.eventually import eventually
from tests.support.nats_logs import make_streams
from tests.support.servers import SHARDS
from walras_client import LogFull, WalrasClient, new_event_id
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask
from walras_schemas import (
    TREASURY,
    BidPlaced,
    CommandBase,
    CreditsGranted,
    MarketOpened,
    message_id,
    subjects,
)

WINDOW_MS = 200
FULL_BYTES = 3000
MARKET = "m0"


@pytest.fixture
def settings(nats_url: str, postgres_dsn: str) -> Settings:
    return Settings(
        nats_url=nats_url, postgres_dsn=postgres_dsn, shards=SHARDS, window_ms=WINDOW_MS
    )


@pytest.fixture
def market(settings: Settings, nats_url: str, postgres_dsn: str) -> Iterator[Servers]:
    """A flow that runs, and an open market whose first window is in the ledger."""
    servers = Servers(nats_url, postgres_dsn)
    prepare(settings, servers)
    opened = MarketOpened(event_id=new_event_id(), resources=RESOURCES)
    with flow_running(settings, servers), open_commands(nats_url) as log:
        payload = opened.model_dump_json().encode()
        msg_id = message_id(MARKET, TREASURY, [opened.event_id])
        log.publish_command(subjects.market(MARKET), payload, msg_id=msg_id)
        eventually(lambda: known(servers))
        yield servers


def known(servers: Servers) -> bool:
    try:
        return bool(read_market(servers.postgres_dsn, MARKET).prices)
    except SettingsError:
        return False


def trade(settings: Settings, servers: Servers, **changes: int | str | None) -> Run:
    wanted = {"market": MARKET, "agents": 21, "rate": None, "seconds": 2, "seed": 7} | changes
    return asyncio.run(run_population(settings, servers, **wanted))  # type: ignore[arg-type]


def log_lines(url: str) -> list[tuple[int, LogLine]]:
    """Every message of every shard but the ticks and the market's opening."""
    return [
        (shard, line)
        for shard in range(SHARDS)
        for line in export_log(url, shard=shard)
        if line.payload and line.subject != subjects.market(MARKET)
    ]


def found(url: str) -> list[Acknowledged]:
    """The commands of the log as the population would count them."""
    return [
        Acknowledged(
            event_id=json.loads(line.payload)["event_id"],
            sender=getattr(subjects.parse(line.subject), "agent", None) or TREASURY,
            shard=shard,
            seq=line.seq,
        )
        for shard, line in log_lines(url)
    ]


def by_place(acknowledged: list[Acknowledged]) -> list[Acknowledged]:
    return sorted(acknowledged, key=lambda command: (command.shard, command.seq))


def bid() -> BidPlaced:
    return BidPlaced(event_id=new_event_id(), resource="tokens", quantity=1, unit_price_micros=1)


async def send(
    url: str, stats: SendStats, sent: list[CommandBase], *, retry_timeout_s: float = 30
) -> None:
    client = WalrasClient.connect(url, market=MARKET, agent="a1", retry_timeout_s=retry_timeout_s)
    async with (
        answering(url, FakeLedger()),
        client as me,
        bounded_sender(stats) as sender,
    ):
        for command in sent:
            await sender.send(me.submit, command, sender="a1")


def test_what_it_counts_is_what_the_log_holds(settings: Settings, market: Servers) -> None:
    """A command that is lost, or in the log twice, would make every figure of the demo a lie."""
    run = trade(settings, market)
    assert by_place(run.stats.acknowledged) == found(market.nats_url)
    assert len(run.stats.acknowledged) == run.stats.sent == len(run.stats.ack_ns)
    assert run.stats.sent > 100


def test_agents_receive_the_outcomes_of_their_bids(settings: Settings, market: Servers) -> None:
    """Agents that receive nothing take all their credits for spent, and stop bidding."""
    run = trade(settings, market)
    # Of two seconds, and of however many windows those were: which others there are is chance.
    assert {"won", "applied"} <= {*run.market.outcomes}
    windows = [window.window_id for window in run.market.windows]
    assert sorted(set(windows)) == windows
    assert len(windows) > 1


def test_a_rate_is_kept(settings: Settings, market: Servers) -> None:
    """Who asks for a load wants that load, and not one that the number of agents makes."""
    run = trade(settings, market, agents=7, rate=60)
    grants = 7
    assert 60 <= run.stats.sent - grants <= 240


def test_an_agent_is_granted_what_it_lacks(market: Servers) -> None:
    """A second run that grants everything again would make credits worth less with each."""
    prices = read_market(market.postgres_dsn, MARKET).prices
    rich, poor, new = population = seat_agents(prices, agents=3, seed=7)
    stakes = {a.name: stake_micros(prices, a.kind, agents=3) for a in population}

    async def fund(prices: Prices) -> None:
        async with (
            granting(market.nats_url, MARKET) as grant,
            bounded_sender(SendStats()) as sender,
        ):
            owned = {rich.name: stakes[rich.name] + 1, poor.name: stakes[poor.name] - 5}
            await Session(population, {}, grant, prices, sender).fund_agents(owned)

    asyncio.run(fund(prices))
    lines = [line for _, line in log_lines(market.nats_url)]
    granted = [CreditsGranted.model_validate_json(line.payload) for line in lines]
    assert {poor.name: 5, new.name: stakes[new.name]} == {
        grant.agent_id: grant.amount_micros for grant in granted
    }
    assert [stakes[rich.name] + 1, stakes[poor.name], stakes[new.name]] == [
        agent.balance_micros for agent in population
    ]


def test_an_unknown_market_is_refused(settings: Settings, market: Servers) -> None:
    """Agents that bid in a market that does not exist would wait for ever."""
    with pytest.raises(SettingsError, match="the market m9 cannot be traded in"):
        trade(settings, market, market="m9")


@pytest.fixture
def full_log(nc: Connection) -> Connection:
    """Logs with room for a few messages."""
    make_streams(nc, max_bytes=FULL_BYTES)
    return nc


@pytest.mark.usefixtures("full_log")
def test_a_log_that_stays_full_ends_the_population(nats_url: str) -> None:
    """Without an end to its attempts it would hammer a full log for ever."""
    stats = SendStats()
    with pytest.raises(LogFull, match="the log is full"):
        asyncio.run(send(nats_url, stats, [bid() for _ in range(50)], retry_timeout_s=0.2))
    assert 0 < len(stats.acknowledged) < 50
    assert by_place(stats.acknowledged) == found(nats_url)


@pytest.mark.usefixtures("full_log")
def test_a_full_log_holds_the_population_back(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that pile up while the log takes none would eat the memory."""
    monkeypatch.setattr(sender_module, "IN_FLIGHT", 8)
    stats = SendStats()

    async def send_for_a_while() -> None:
        async with asyncio.timeout(1):
            await send(nats_url, stats, [bid() for _ in range(200)])

    with pytest.raises(TimeoutError):
        asyncio.run(send_for_a_while())
    assert 8 == stats.in_flight


def test_a_log_with_room_again_takes_each_command_once(full_log: Connection, nats_url: str) -> None:
    """What waited for room must neither be lost nor bid twice."""
    stats = SendStats()
    sent: list[CommandBase] = [bid() for _ in range(100)]

    async def send_while_it_grows() -> None:
        sending = asyncio.create_task(send(nats_url, stats, sent))
        await asyncio.to_thread(eventually, lambda: is_full(full_log))
        await asyncio.to_thread(grow, full_log)
        await sending

    asyncio.run(send_while_it_grows())
    assert {command.event_id: 1 for command in sent} == Counter(c.event_id for c in found(nats_url))
    assert by_place(stats.acknowledged) == found(nats_url)


def is_full(nc: Connection) -> bool:
    """Whether the log that the commands go to takes hardly one more."""
    infos = [run_sync(ask(nc, f"STREAM.INFO.SHARD_{shard}")) for shard in range(SHARDS)]
    fullest: int = max(info["state"]["bytes"] for info in infos)
    return fullest > FULL_BYTES - 400


def grow(nc: Connection) -> None:
    for shard in range(SHARDS):
        config = shard_config(shard, shards=SHARDS, max_bytes=1 << 20)
        run_sync(ask(nc, f"STREAM.UPDATE.{config['name']}", config))


@pytest.mark.parametrize("turns", [1, 2, 7, 4000])
def test_the_rush_comes_in_the_middle(turns: int) -> None:
    """A demand that never changes would show prices that never move."""
    rush = [rush_percent(turn, of=turns) for turn in range(turns)]
    assert QUIET_PERCENT == rush[0]
    assert max(rush) <= RUSH_PERCENT
    assert max(rush) == rush[turns // 2]
