"""Agents live on a running deployment: they trade, go away, come back, and miss nothing."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Final

import psycopg
import pytest
from nats.aio.client import Client

from connectors.embedded.servers import Servers
from connectors.identity.claims import credentials, new_key, user_jwt
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.commands import open_commands
from connectors.nats.connection import connected
from connectors.postgres.reads import history as history_module
from flows.runtime import worker
from operators import results as results_module
from tests.client.broker import Broker, broker
from tests.client.deployment import (
    STAKE_MICROS,
    Deployment,
    deployed,
    running,
)
from tests.deploy.markdown import blocks, table
from tests.support.servers import fresh_database
from walras_client import (
    BidId,
    Cursor,
    OutcomeNotListed,
    Results,
    WalrasClient,
    new_event_id,
)
from walras_schemas import QUERIES, AgentResult, BidPlaced, BidStatus, CommandStatus

HOUSE: Final = Path(__file__).parents[2]
EXAMPLE: Final = HOUSE / "examples" / "agent.py"
GUIDE: Final = HOUSE / "docs" / "guides" / "agents.md"
WITHIN_S: Final = 30.0
CLEARED: Final = """
    SELECT window_id, resource, clearing_micros, sold FROM walras.prices
    WHERE market = %s AND sold > 0 ORDER BY window_id, resource
"""


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Iterator[Deployment]:
    with deployed(servers) as running_one:
        yield running_one


async def bid_and_hear(me: WalrasClient, times: int) -> list[BidId]:
    """So many bids, each in a window of its own."""
    bids = []
    for _ in range(times):
        bids.append(await me.bid("tokens", 1, 1_000))
        await me.outcome(bids[-1], WITHIN_S)
    return bids


async def take(results: Results, until: str) -> list[AgentResult]:
    """The next results, up to the one with the outcome of this command."""
    taken: list[AgentResult] = []
    async with asyncio.timeout(WITHIN_S):
        async for result in results:
            taken.append(result)
            if until in {outcome.event_id for outcome in result.outcomes or ()}:
                return taken
    raise AssertionError("results never end")


async def history_of(me: WalrasClient, heard: list[AgentResult]) -> list[AgentResult]:
    """What the ledger has from the first of these results on."""
    return await me.history(after_window=heard[0].window_id - 1)


def bids_in(results: list[AgentResult]) -> list[str]:
    return [outcome.event_id for result in results for outcome in result.outcomes or ()]


def test_an_agent_trades(deployment: Deployment) -> None:
    """Whatever it can do must end as the market's rules say, in its own books and in the ledger."""
    market = deployment.market("a1", "a2")

    async def play() -> None:
        async with deployment.agent(market, "a1") as me, deployment.agent(market, "a2") as other:
            mine = await me.bid("tokens", 80, 3_000)
            theirs = await other.bid("tokens", 80, 2_000)
            won = await me.outcome(mine, WITHIN_S)
            left = await other.outcome(theirs, WITHIN_S)
            assert (BidStatus.WON, {"tokens": 80}, 160_000) == (
                won.status,
                won.won,
                won.paid_micros,
            )
            assert (BidStatus.PARTIALLY_WON, {"tokens": 20}) == (left.status, left.won)
            bundle = await me.bid_bundle({"tokens": 5, "cpu_ms": 5}, limit_micros=90_000)
            gift = await me.transfer("a2", 1_000, "thanks")
            withdrawn = await me.bid("tokens", 1, 1_000)
            withdrawal = await me.withdraw(withdrawn)
            assert {"tokens": 5, "cpu_ms": 5} == (await me.outcome(bundle, WITHIN_S)).won
            assert CommandStatus.APPLIED == (await me.outcome(gift, WITHIN_S)).status
            assert CommandStatus.APPLIED == (await me.outcome(withdrawal, WITHIN_S)).status
            assert BidStatus.WITHDRAWN == (await me.outcome(withdrawn, WITHIN_S)).status
            spent = STAKE_MICROS - (await me.balance()).balance_micros
            assert 160_000 + 1_000 == spent

    asyncio.run(play())


def test_the_feed_tells_the_prices_of_every_window(deployment: Deployment) -> None:
    """A strategy that misses a window follows a market that was never there."""
    market = deployment.market("a1")

    async def play() -> None:
        async with deployment.agent(market, "a1") as me:
            feed = me.prices_feed()
            bids = await bid_and_hear(me, 5)
            sold: list[tuple[object, ...]] = []
            async with asyncio.timeout(WITHIN_S):
                while len(sold) < len(bids):
                    window = await anext(feed)
                    sold += [
                        (window.window_id, price.resource, price.clearing_micros, price.sold)
                        for price in window.prices
                        if price.sold
                    ]
            with psycopg.connect(deployment.postgres_dsn) as ledger:
                assert ledger.execute(CLEARED, [market]).fetchall() == sold

    asyncio.run(play())


def test_an_agent_that_was_away_gets_each_missed_result_once(deployment: Deployment) -> None:
    """What it won while it was away is its own: it must learn of it, and count it once."""
    market = deployment.market("a1")

    async def play() -> None:
        async with deployment.agent(market, "a1") as me:
            results = me.results()
            before = await take(results, until=(await bid_and_hear(me, 2))[-1])
            kept = json.dumps(asdict(results.cursor))
        async with deployment.agent(market, "a1") as meanwhile:
            missed = await bid_and_hear(meanwhile, 4)
        async with deployment.agent(market, "a1") as me:
            results = me.results(after=Cursor(**json.loads(kept)))
            after = await take(results, until=missed[-1])
            after += await take(results, until=(await bid_and_hear(me, 1))[-1])
            assert await history_of(me, before + after) == before + after

    asyncio.run(play())


def test_agents_miss_nothing_of_a_worker_that_publishes_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that dies after each commit is the worst that there is: the ledger has to be enough."""
    monkeypatch.setattr(worker, "agent_results", lambda _settlement: iter(()))

    async def play(deployment: Deployment, market: str) -> None:
        async with deployment.agent(market, "a1") as me:
            results = me.results()
            bids = await bid_and_hear(me, 3)
            gift = await me.transfer("a2", 5)
            bids.append(await me.bid("tokens", 1, 1))
            heard = await take(results, until=bids[-1])
            assert [*bids[:3], gift, bids[3]] == bids_in(heard)
            assert await history_of(me, heard) == heard

    with deployed(servers) as deployment:
        asyncio.run(play(deployment, deployment.market("a1", "a2")))


def test_agents_that_miss_nothing_ask_nothing(deployment: Deployment) -> None:
    """A question for each window and agent would be the end of the ledger."""
    market = deployment.market("a1", "a2")

    async def asked(nc: Client) -> int:
        stats = json.loads((await nc.request("$SRV.STATS.walras-queries", b"")).data)
        (history,) = (each for each in stats["endpoints"] if each["name"] == "history")
        return int(history["num_requests"])

    async def play() -> None:
        async with (
            connected(deployment.nats_url, name="test") as nc,
            deployment.agent(market, "a1") as me,
            deployment.agent(market, "a2") as other,
        ):
            await bid_and_hear(me, 2)
            await bid_and_hear(other, 2)
            before = await asked(nc)
            for _ in range(5):
                bid = await me.bid("tokens", 60, 1_000)
                await other.bid("tokens", 60, 1_000)
                await me.outcome(await me.transfer("a2", 7), WITHIN_S)
                await other.outcome(await other.transfer("a1", 5), WITHIN_S)
                await me.outcome(bid, WITHIN_S)
            assert before == await asked(nc)

    asyncio.run(play())


def test_results_begin_with_the_connection(deployment: Deployment) -> None:
    """What an agent did before is in its balance already: delivered as new it counts twice."""
    market = deployment.market("a1")

    async def play() -> None:
        async with deployment.agent(market, "a1") as earlier:
            await bid_and_hear(earlier, 2)
        async with deployment.agent(market, "a1") as me:
            async with deployment.agent(market, "a1") as meanwhile:
                missed = await bid_and_hear(meanwhile, 2)
            assert missed == bids_in(await take(me.results(), until=missed[-1]))
            assert missed[0] == (await me.outcome(missed[0], WITHIN_S)).event_id

    asyncio.run(play())


def test_a_window_too_large_to_list_is_handed_out_and_said(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its outcomes are in no message: an agent must learn the balance, and where the rest is."""
    for module in (results_module, history_module):
        monkeypatch.setattr(module, "RESULT_MAX_BYTES", 3000)
    market = deployment.market("a1")

    async def play() -> None:
        async with deployment.agent(market, "a1") as me:
            results = me.results()
            heard = await take(results, until=(await bid_and_hear(me, 1))[-1])
            crowd = await me.submit_many(
                [
                    BidPlaced(
                        event_id=new_event_id(), resource="tokens", quantity=1, unit_price_micros=1
                    )
                    for _ in range(100)
                ]
            )
            with pytest.raises(OutcomeNotListed, match="too large for one message"):
                await me.outcome(crowd[0], WITHIN_S)
            heard += [await anext(results)]
            assert (False, 100) == (heard[-1].complete, sum((heard[-1].counts or {}).values()))
            heard += await take(results, until=(await bid_and_hear(me, 1))[-1])
            assert await history_of(me, heard) == heard

    asyncio.run(play())


def test_trade_goes_on_through_a_restart_of_the_broker(servers: Servers, tmp_path: Path) -> None:
    """Every part comes back by itself: the flow, the questions, the agent; no bid counts twice."""

    async def play(deployment: Deployment, market: str, server: Broker) -> None:
        async with deployment.agent(market, "a1") as me:
            results = me.results()
            bids = await bid_and_hear(me, 3)
            under_way = [asyncio.create_task(me.bid("tokens", 1, 1)) for _ in range(50)]
            await asyncio.sleep(0)
            server.stop()
            server.start()
            bids += await asyncio.gather(*under_way)
            bids += await bid_and_hear(me, 3)
            heard = await take(results, until=bids[-1])
            assert Counter(bids) == Counter(bids_in(heard))
            assert await history_of(me, heard) == heard

    with (
        broker(tmp_path / "nats") as server,
        fresh_database(servers.postgres_dsn) as postgres_dsn,
        running(server.url, postgres_dsn, shards=1),
        open_commands(server.url) as commands,
    ):
        deployment = Deployment(server.url, postgres_dsn, commands)
        asyncio.run(play(deployment, deployment.market("a1"), server))


@pytest.fixture(scope="module")
def demo(deployment: Deployment) -> Deployment:
    """What the documents take for granted: a market `m1` in which `a1` has credits."""
    deployment.market("a1", "a2", name="m1")
    return deployment


def ran(program: Path, *, deployment: Deployment, folder: Path) -> list[str]:
    """What a program of a reader's own says; this server does not look at its credentials."""
    user = new_key("user")
    jwt = user_jwt(new_key("account"), user.public, name="a1", publish=None, subscribe=None)
    (folder / ".walras" / "agents").mkdir(parents=True, exist_ok=True)
    (folder / ".walras" / "agents" / "a1.creds").write_text(credentials(jwt, user))
    done = subprocess.run(
        [sys.executable, program],
        env=os.environ | {"WALRAS_NATS_URL": deployment.nats_url},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


def test_the_example_agent_runs(demo: Deployment, tmp_path: Path) -> None:
    """It stands in the README: it is the first thing that is copied."""
    expected = [
        "offered 1000 per token: won, {'tokens': 100}",
        "100 tokens for 0 micro-credits",
        "the rest of the budget to a2: applied",
    ]
    assert expected == ran(EXAMPLE, deployment=demo, folder=tmp_path)
    assert 30 == len(EXAMPLE.read_text().splitlines())


def test_the_programs_of_the_guide_run(demo: Deployment, tmp_path: Path) -> None:
    """A guide is copied before it is read."""
    placing, hearing = (tmp_path / "placing.py", tmp_path / "hearing.py")
    for file, program in zip((placing, hearing), blocks(GUIDE.read_text(), "python"), strict=True):
        file.write_text(program)
    assert 3 == len(ran(placing, deployment=demo, folder=tmp_path))
    first = ran(hearing, deployment=demo, folder=tmp_path)
    second = ran(hearing, deployment=demo, folder=tmp_path)
    assert int(first[0].split()[0]) < int(second[0].split()[0])


def test_the_guide_shows_questions_that_are_answered(demo: Deployment) -> None:
    """Who writes an agent in another language has nothing but these lines."""
    rows = [[cell.strip("`") for cell in row] for row in table(GUIDE.read_text(), "method")]
    assert {name.split("_")[0] for name in QUERIES} - {"query"} == {
        row[1].split(".")[1] for row in rows
    }
    with open_on_loop(connected(demo.nats_url, name="test")) as nc:
        for _, subject, question, reply in rows:
            about = subject.replace("<market>", "m1").replace("<agent>", "a1")
            answer = run_sync(nc.request(about, question.encode(), timeout=WITHIN_S))
            told = QUERIES[reply].model_validate_json(answer.data)
            assert reply == told.model_dump()["type"]
