"""Questions to a running deployment are answered from the committed ledger, and from it alone."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import psycopg
import pytest
from nats.aio.client import Client

from connectors.embedded.servers import Servers
from connectors.nats.connection import connected
from connectors.nats.loop import held, wait_for
from flows.queries import serving_queries
from tests.client.deployment import STAKE_MICROS, Deployment, deployed
from walras_schemas import (
    BalanceReply,
    PricesReply,
    QueryError,
    QueryErrorReason,
    ResourcePrice,
)


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Iterator[Deployment]:
    with deployed(servers) as running:
        yield running


def test_x(deployment: Deployment) -> None:
    market = deployment.market("a1", "a2")

    async def play():
        async with deployment.agent(market, "a1") as me, deployment.agent(market, "a2") as you:
            print(await me.balance(), await me.prices())
            results = me.results()
            e = await me.bid("tokens", 60, 2000)
            f = await you.bid("tokens", 60, 1500)
            print(await me.outcome(e, 10), await you.outcome(f, 10))
            r = await anext(results)
            print(r)
            w = await me.withdraw(e)
            t = await me.transfer("a2", 5, "x")
            b = await me.bid_bundle({"tokens": 5, "cpu_ms": 2}, limit_micros=100000)
            print([await me.outcome(i, 10) for i in (w, t, b)])
            print(await me.history())
            r2 = [await anext(results)]
            while r2[-1].outcomes[-1].event_id != b: r2.append(await anext(results))
            assert [r, *r2] == await me.history(after_window=0)
            print(await me.balance(), await me.prices())
    asyncio.run(play())
