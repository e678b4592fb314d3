"""The life of one bid, from log and ledger alone, as the command shows it."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

import psycopg
import pytest

from connectors.embedded.servers import Servers
from connectors.nats.connection import connected
from tests.client.deployment import WINDOW_MS, Deployment, deployed
from tests.support.shell import Walras, shell
from walras_client import WalrasClient, new_event_id
from walras_schemas import BidPlaced

STEPS: Final = ["made", "published", "judged", "window closed", "committed", "result"]
WITHIN_S: Final = 30.0
TRACEPARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Iterator[Deployment]:
    with deployed(servers) as running_one:
        yield running_one


@pytest.fixture(name="walras")
def _walras(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Walras:
    monkeypatch.setenv("WALRAS_NATS_URL", deployment.nats_url)
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", deployment.postgres_dsn)
    return shell(capsys)


def traced(walras: Walras, event_id: str) -> dict[str, Any]:
    (life,) = walras("trace", event_id, "--json").json
    assert isinstance(life, dict)
    return life


async def submit(me: WalrasClient, *bids: BidPlaced) -> None:
    """Bid in one message, so that all are in one window, and wait until it is settled."""
    await me.submit(bids)
    await me.outcome(bids[-1].event_id, WITHIN_S)


def bid(resource: str, quantity: int, price: int) -> BidPlaced:
    return BidPlaced(
        event_id=new_event_id(), resource=resource, quantity=quantity, unit_price_micros=price
    )


def bundle(limit: int, **units: int) -> BidPlaced:
    return BidPlaced(event_id=new_event_id(), bundle=units, limit_micros=limit)


def density(life: dict[str, Any]) -> Fraction:
    """What it offers per unit of weight; the market has no reserves."""
    weights = {price["resource"]: price["reference_micros"] for price in life["prices"]}
    weight = sum(weights[resource] * units for resource, units in life["bundle"].items())
    return Fraction(life["limit_micros"], weight)


def test_the_steps_of_a_life(deployment: Deployment, walras: Walras) -> None:
    """Whoever asks where a second was lost needs every step, each with its time, in order."""
    market = deployment.market("a1")
    mine = bid("tokens", 70, 1500)

    async def one() -> None:
        async with deployment.agent(market, "a1") as me:
            await submit(me, mine)

    asyncio.run(one())
    life = traced(walras, mine.event_id)
    assert STEPS == [step["step"] for step in life["steps"]]
    times = [step["time_ns"] for step in life["steps"]]
    assert times[1] == times[2], "alone in its window, the stream's time is that of its message"
    assert sorted(times[1:]) == times[1:]
    assert times[3] // 1_000_000 >= (life["window_id"] + 1) * WINDOW_MS
    shown = datetime.fromisoformat(life["steps"][1]["time"]).timestamp()
    assert times[1] // 1_000_000_000 == int(shown)
    outcome = life["status"], life["won"], life["paid_micros"], life["rank"], life["ranked_bids"]
    assert ("won", {"tokens": 70}, 0, 1, 1) == outcome
    assert (None, None) == (life["trace_id"], life["traceparent"])

    told = walras("trace", mine.event_id).out
    assert f"bid {mine.event_id} of a1 in market {market}" in told
    assert "won: 70 tokens for 0 credits" in told
    assert "rank 1 of 1 bids" in told
    assert all(f"  {step}" in told for step in STEPS)


def test_a_refused_bid_has_a_life_too(deployment: Deployment, walras: Walras) -> None:
    """A refusal is asked about most often."""
    market = deployment.market("a1")
    refused, late = bid("tokens", 70, 10**12), bid("tokens", 1, 1)
    late = late.model_copy(update={"event_id": "01990000-0000-7000-8000-000000000001"})

    async def both() -> None:
        async with deployment.agent(market, "a1") as me:
            await submit(me, refused, late)

    asyncio.run(both())
    life = traced(walras, refused.event_id)
    assert ("rejected", "insufficient_balance", None) == (
        life["status"],
        life["reason"],
        life["rank"],
    )
    assert "rejected: insufficient_balance" in walras("trace", refused.event_id).out
    # Its id says nothing of when it came: it is looked for everywhere.
    assert "stale_event_id" == traced(walras, late.event_id)["reason"]


def test_the_rank_is_that_of_the_allocation(deployment: Deployment, walras: Walras) -> None:
    """A rank that is not the one by which the window was cleared explains nothing."""
    market = deployment.market("a1")
    bids = [
        bid("tokens", 60, 1_500),
        bundle(200_000, tokens=10, cpu_ms=10),
        bid("cpu_ms", 30, 9_000),
        bid("tokens", 60, 1_500),
        bid("tokens", 60, 4_499),
        bundle(60_000, tokens=20, cpu_ms=5),
    ]

    async def all_at_once() -> None:
        async with deployment.agent(market, "a1") as me:
            await submit(me, *bids)

    asyncio.run(all_at_once())
    lives = [traced(walras, each.event_id) for each in bids]
    assert {len(bids)} == {life["ranked_bids"] for life in lives}
    expected = sorted(lives, key=lambda life: (-density(life), life["ord"]))
    assert list(range(1, len(bids) + 1)) == [life["rank"] for life in expected]


def test_the_trace_of_the_sender_is_shown(deployment: Deployment, walras: Walras) -> None:
    """The page is the way from a bid to the trace in a backend, and back."""
    market = deployment.market("a1")
    mine = bid("tokens", 1, 2_000)
    subject, payload = f"market.{market}.bid.a1", mine.model_dump_json().encode()

    async def publish() -> None:
        async with connected(deployment.nats_url, name="test") as nc:
            headers = {"traceparent": TRACEPARENT}
            await nc.jetstream().publish(subject, payload, headers=headers)

    asyncio.run(publish())
    query = "SELECT count(*) FROM walras.bids WHERE event_id = %s"
    deployment.until(query, [mine.event_id], expected=1)
    life = traced(walras, mine.event_id)
    assert (TRACEPARENT.split("-")[1], TRACEPARENT) == (life["trace_id"], life["traceparent"])


def test_what_is_no_bid_is_said(walras: Walras, deployment: Deployment) -> None:
    """A typing error must not look like a bid that was lost."""
    nothing, no_id = walras("trace", new_event_id()), walras("trace", "4711")
    assert (2, "error: there is no such bid in the ledger") == (
        nothing.code,
        nothing.err.splitlines()[0],
    )
    assert (2, "error: that is not an event id") == (no_id.code, no_id.err.splitlines()[0])
    with psycopg.connect(deployment.postgres_dsn) as ledger:
        assert (0,) == ledger.execute("SELECT count(*) FROM walras.bids WHERE seq < 0").fetchone()


def test_json_is_one_line(deployment: Deployment, walras: Walras) -> None:
    """What programs read line by line."""
    market = deployment.market("a1")
    mine = bid("tokens", 1, 2_000)

    async def one() -> None:
        async with deployment.agent(market, "a1") as me:
            await submit(me, mine)

    asyncio.run(one())
    (line,) = walras("trace", mine.event_id, "--json").out.splitlines()
    assert mine.event_id == json.loads(line)[0]["event_id"]
