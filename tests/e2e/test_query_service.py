"""Questions to a running deployment are answered from the committed ledger, and from it alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.service import ServiceInfo

from connectors.embedded.servers import Servers
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.postgres.reads import history as history_module
from flows.queries.service import serving_queries
from operators import results as results_module
from tests.client.broker import broker
from tests.client.deployment import RESOURCES, STAKE_MICROS, Deployment, deployed
from tests.client.fake_market import agent
from walras_client import Unavailable, WalrasClient, new_event_id
from walras_schemas import (
    AgentResult,
    BalanceQuery,
    BalanceReply,
    BidPlaced,
    BidStatus,
    CreditsGranted,
    PricesReply,
    QueryError,
    QueryErrorReason,
    queries,
    subjects,
)
from walras_schemas.wire import Message

WITHIN_S: Final = 20.0
NO_SUCH_DSN: Final = "postgresql:///nowhere?host=/nonexistent"
BALANCE: Final = "SELECT balance_micros FROM walras.accounts WHERE market = %s AND agent_id = %s"
PRICES: Final = """
    SELECT resource, reference_micros, reserve_micros, clearing_micros, supply, demanded, wanted,
        sold, stale
    FROM walras.prices WHERE market = %s AND window_id = %s ORDER BY resource
"""
OUR_CONNECTIONS: Final = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'walras queries'
"""


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Iterator[Deployment]:
    with deployed(servers) as running:
        yield running


@pytest.fixture
def nc(deployment: Deployment) -> Iterator[Client]:
    with open_on_loop(connected(deployment.nats_url, name="test")) as opened:
        yield opened


def asked(nc: Client, subject: str, payload: bytes) -> Msg:
    return run_sync(nc.request(subject, payload, timeout=WITHIN_S))


def error_of(reply: Msg) -> tuple[str, QueryErrorReason]:
    """The code of a refusal as the NATS header has it, and the reason as the registry names it."""
    assert reply.headers is not None
    error = QueryError.model_validate_json(reply.data)
    assert f"{error.reason}: {error.detail}" == reply.headers["Nats-Service-Error"]
    return reply.headers["Nats-Service-Error-Code"], error.reason


def written(question: Message) -> bytes:
    return question.model_dump_json().encode()


async def trade(deployment: Deployment, market: str) -> list[AgentResult]:
    """Two agents through all that can become of a command; the results that a1 received."""
    async with deployment.agent(market, "a1") as me, deployment.agent(market, "a2") as other:
        results = me.results()
        heard: list[AgentResult] = []
        for round_ in range(5):
            rival = await other.bid("tokens", 60, 1_500)
            placed: list[str] = [
                await me.bid("tokens", 60, 2_000 - 300 * round_, min_quantity=60),
                await me.bid("cpu_ms", 50, 2_500),
                await me.bid("tokens", 10, 10**12),
                await me.bid_bundle({"tokens": 5, "cpu_ms": 2}, limit_micros=100_000),
            ]
            placed.append(await me.withdraw(placed[0] if round_ == 4 else rival))
            placed.append(await me.transfer("a2", 5_000_000))
            grant = CreditsGranted(event_id=new_event_id(), agent_id="a1", amount_micros=7)
            deployment.publish(subjects.grant(market), grant)
            heard += await heard_until(results, placed)
            await other.outcome(rival, WITHIN_S)
        return heard


async def heard_until(
    results: AsyncIterator[AgentResult], event_ids: list[str]
) -> list[AgentResult]:
    """The next results, up to the one with the last outcome of the commands."""
    heard: list[AgentResult] = []
    left = set(event_ids)
    async with asyncio.timeout(WITHIN_S):
        while left:
            heard.append(await anext(results))
            left -= {outcome.event_id for outcome in heard[-1].outcomes or ()}
    return heard


def test_balance_and_prices_are_the_ledgers(deployment: Deployment) -> None:
    """An agent that gets another balance than it has bids what it cannot pay."""
    market = deployment.market("a1", "a2")

    async def play() -> tuple[list[AgentResult], BalanceReply, PricesReply]:
        heard = await trade(deployment, market)
        async with deployment.agent(market, "a1") as me:
            return heard, await me.balance(), await me.prices()

    heard, balance, prices = asyncio.run(play())
    assert heard[-1].window_id <= balance.window_id <= prices.window_id
    with psycopg.connect(deployment.postgres_dsn) as ledger:
        assert (balance.balance_micros,) == ledger.execute(BALANCE, [market, "a1"]).fetchone()
        rows = ledger.execute(PRICES, [market, prices.window_id]).fetchall()
    assert rows == [tuple(price.model_dump().values()) for price in prices.prices]
    assert list(RESOURCES) == [price.resource for price in prices.prices]


def test_history_is_what_was_published(deployment: Deployment) -> None:
    """Rebuilding from it must end in the same state as receiving every result."""
    market = deployment.market("a1", "a2")

    async def play() -> None:
        heard = await trade(deployment, market)
        assert set(BidStatus) <= {one.status for result in heard for one in result.outcomes or ()}
        async with deployment.agent(market, "a1") as me:
            before = await me.history(before_window=heard[0].window_id)
            everything = before + heard
            assert [["grant"]] == [[each.kind for each in one.credits or ()] for one in before]
            assert everything == await me.history()
            assert everything == await read_forward(me, limit=2)
            assert everything == await read_backward(me, limit=3)
            assert heard[1:3] == await me.history(
                after_window=heard[0].window_id, before_window=heard[3].window_id
            )
            assert [] == await me.history(after_window=2**63 - 1)
            assert everything == await me.history(before_window=2**63 - 1)
            assert [] == await me.history(before_window=0)

    asyncio.run(play())


async def read_forward(me: WalrasClient, *, limit: int) -> list[AgentResult]:
    results: list[AgentResult] = await me.history(after_window=0, limit=limit)
    while page := await me.history(after_window=results[-1].window_id, limit=limit):
        assert len({result.window_id for result in page}) <= limit
        results += page
    return results


async def read_backward(me: WalrasClient, *, limit: int) -> list[AgentResult]:
    results = await me.history(limit=limit)
    while page := await me.history(before_window=results[0].window_id, limit=limit):
        assert len(page) <= limit
        results = page + results
    return results


def test_a_page_fits_into_one_message(deployment: Deployment) -> None:
    """A reply that is too long for NATS never comes, and the agent asks for ever."""
    market = deployment.market("a1")

    async def play() -> None:
        async with deployment.agent(market, "a1") as me:
            results, placed = me.results(), list[str]()
            for _ in range(3):
                for _ in range(3):
                    placed += await me.submit_many(some_bids(1000))
                await heard_until(results, placed[-3000:])
            windows = await read_forward(me, limit=1000)
            assert windows == await read_backward(me, limit=1000)
            assert placed == [outcome.event_id for one in windows for outcome in one.outcomes or ()]
            assert len(await me.history(after_window=0)) < len(windows)

    asyncio.run(play())


def some_bids(count: int) -> list[BidPlaced]:
    return [
        BidPlaced(event_id=new_event_id(), resource="tokens", quantity=1, unit_price_micros=1)
        for _ in range(count)
    ]


def test_a_window_too_large_to_list_is_so_in_the_history_too(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One agent's question must not fill the memory of the deployment, nor be refused for good."""
    for module in (results_module, history_module):
        monkeypatch.setattr(module, "RESULT_MAX_BYTES", 3000)
    market = deployment.market("a1")

    async def play() -> None:
        async with deployment.agent(market, "a1") as me:
            results = me.results()
            placed: list[str] = [await me.bid("tokens", 1, 1)]
            await me.outcome(placed[0], WITHIN_S)
            heard = await heard_until(results, placed)
            await me.submit_many(some_bids(100))
            heard.append(await anext(results))
            assert [True, False] == [result.complete for result in heard]
            assert heard == (await read_forward(me, limit=1))[-2:]

    asyncio.run(play())


def test_an_unknown_agent_is_refused(deployment: Deployment, nc: Client) -> None:
    """An agent with a misspelt name would read a balance of nothing as ruin."""
    market = deployment.market("a1")
    question = written(BalanceQuery())
    unknown = asked(nc, queries.balance_subject(market, "nobody"), question)
    assert ("404", QueryErrorReason.UNKNOWN_AGENT) == error_of(unknown)
    nowhere = asked(nc, queries.balance_subject("nowhere", "a1"), question)
    assert ("404", QueryErrorReason.UNKNOWN_MARKET) == error_of(nowhere)


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        ("query.balance.m1.a1", b""),
        ("query.balance.m1.a1", b"{}"),
        ("query.balance.m1.a1", b"\xff"),
        ("query.balance.m1.a1", b'{"type": "balance_query", "window": 7}'),
        ("query.balance.m1.a1", b'{"type": "prices_query"}'),
        ("query.balance.m1.treasury", b'{"type": "balance_query"}'),
        ("query.prices.M1", b'{"type": "prices_query"}'),
        ("query.history.m1.a1", b'{"type": "history_query", "limit": 0}'),
    ],
)
def test_a_malformed_question_is_refused(
    deployment: Deployment, nc: Client, subject: str, payload: bytes
) -> None:
    """Silence would let its sender wait for the deadline, each time."""
    assert deployment.nats_url
    assert ("400", QueryErrorReason.MALFORMED) == error_of(asked(nc, subject, payload))


def test_a_second_service_shares_the_work(deployment: Deployment, nc: Client) -> None:
    """Two answers to one question: the second would be taken for that of the next."""
    market = deployment.market("a1")

    async def ask_all(count: int) -> list[bytes]:
        inbox = nc.new_inbox()
        replies = await nc.subscribe(inbox)
        for _ in range(count):
            subject = queries.balance_subject(market, "a1")
            await nc.publish(subject, written(BalanceQuery()), reply=inbox)
        answered = [(await replies.next_msg(timeout=WITHIN_S)).data for _ in range(count)]
        # Whatever else was answered has left by the time that this last question is.
        await nc.request(queries.balance_subject(market, "a1"), b"", timeout=WITHIN_S)
        assert 0 == replies.pending_msgs
        await replies.unsubscribe()
        return answered

    with serving_queries(deployment.nats_url, deployment.postgres_dsn):
        answered = run_sync(ask_all(40))
    assert 40 == len(answered)
    assert {STAKE_MICROS} == {
        BalanceReply.model_validate_json(reply).balance_micros for reply in answered
    }


def test_a_ledger_that_is_away_is_reported(tmp_path: Path) -> None:
    """A question that hangs on a dead database would hang the agent that asked."""
    with (
        broker(tmp_path / "nats") as server,
        serving_queries(server.url, NO_SUCH_DSN),
        open_on_loop(connected(server.url, name="test")) as nc,
    ):
        reply = asked(nc, queries.balance_subject("m1", "a1"), written(BalanceQuery()))
    assert ("503", QueryErrorReason.UNAVAILABLE) == error_of(reply)


def test_a_client_is_patient_with_a_ledger_that_is_away(tmp_path: Path) -> None:
    """A moment without a ledger is no answer: taken for one, it would be a refusal for good."""

    async def play(url: str) -> None:
        async with agent(url, retry_timeout_s=0.5):
            pass

    with (
        broker(tmp_path / "nats") as server,
        serving_queries(server.url, NO_SUCH_DSN),
        pytest.raises(Unavailable, match="Postgres does not answer"),
    ):
        asyncio.run(play(server.url))


def test_questions_outlive_a_lost_connection_to_the_ledger(
    deployment: Deployment, nc: Client
) -> None:
    """Postgres restarts now and then: from the next question on it must be as before."""
    market = deployment.market("a1")
    subject, question = queries.balance_subject(market, "a1"), written(BalanceQuery())
    before = BalanceReply.model_validate_json(asked(nc, subject, question).data)
    with psycopg.connect(deployment.postgres_dsn, autocommit=True) as owner:
        (cut,) = owner.execute(OUR_CONNECTIONS).fetchone() or (0,)
        assert cut > 0
    after = BalanceReply.model_validate_json(asked(nc, subject, question).data)
    assert before.balance_micros == after.balance_micros


def test_the_service_is_found_by_the_tools_of_nats(deployment: Deployment, nc: Client) -> None:
    """An operator looks for it with `nats micro ls`."""
    assert deployment.nats_url
    info = ServiceInfo.from_dict(json.loads(asked(nc, "$SRV.INFO.walras-queries", b"").data))
    expected = [("balance", "query.balance.*.*"), ("history", "query.history.*.*")]
    expected += [("prices", "query.prices.*")]
    assert expected == [(endpoint.name, endpoint.subject) for endpoint in info.endpoints]
    assert {"walras-queries"} == {endpoint.queue_group for endpoint in info.endpoints}
    assert info.id == json.loads(asked(nc, "$SRV.PING", b"").data)["id"]
    stats = json.loads(asked(nc, f"$SRV.STATS.walras-queries.{info.id}", b"").data)
    assert [name for name, _ in expected] == [each["name"] for each in stats["endpoints"]]
