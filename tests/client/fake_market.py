"""What the tests of the client play on: the streams of a deployment, without a flow behind them.

A `FakeMarket` speaks for the operator and for the market; the client under test is the only agent.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from connectors.nats.connection import connected
from connectors.nats.topology import ensure_streams, results_config
from tests.support.servers import SHARDS
from walras_client import WalrasClient
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask
from walras_client.subscription import OfWindow, Subscription
from walras_schemas import AgentResult, BidOutcome, BidStatus, subjects

LOG_BYTES: Final = 8 << 20
BATCH_BYTES: Final = 200_000
WITHIN_S: Final = 20.0
POLL_INTERVAL_S: Final = 0.01
MARKET: Final = "m1"
AGENT: Final = "a1"

T = TypeVar("T", bound=OfWindow)


@dataclass(frozen=True, slots=True)
class FakeMarket:
    """The market's and the operator's side of the streams."""

    nc: Connection
    url: str

    async def publish_windows(self, *window_ids: int, event_id: str | None = None) -> None:
        """Publish the agent's result of each window; it has no id, so the stream takes it twice."""
        for window_id in window_ids:
            await self.publish(result_of(window_id, event_id=event_id))

    async def publish(self, result: AgentResult) -> None:
        """Publish a result of the agent."""
        payload = result.model_dump_json().encode()
        await self.nc.jetstream().publish(subjects.result(MARKET, AGENT), payload)

    async def publish_for_others(self, messages: int) -> None:
        """Publish what is not for the agent."""
        for _ in range(messages):
            await self.nc.jetstream().publish(subjects.result(MARKET, "other"), b"{}")

    async def drop_results(self, *, keep: int) -> None:
        """Do what retention does: drop the oldest results."""
        await ask(self.nc, "STREAM.PURGE.RESULTS", {"keep": keep})

    async def drop_consumers(self) -> None:
        """Do what a server may after trouble of its own: forget who reads the results."""
        names = await ask(self.nc, "CONSUMER.NAMES.RESULTS")
        for name in names["consumers"]:
            await ask(self.nc, f"CONSUMER.DELETE.RESULTS.{name}")

    async def until_read_by(self, readers: int) -> None:
        """Return once the server has so many consumers of the results."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                names = await ask(self.nc, "CONSUMER.NAMES.RESULTS")
                if names["total"] == readers:
                    return
                await asyncio.sleep(POLL_INTERVAL_S)

    async def delete_results(self) -> None:
        """Do what an operator may: they can be made again from the ledger."""
        await ask(self.nc, "STREAM.DELETE.RESULTS")

    async def make_results(self) -> None:
        """Begin the results anew."""
        await ask(self.nc, "STREAM.CREATE.RESULTS", results_config())

    async def log(self) -> list[dict[str, Any]]:
        """Every command in the log of the market, in order, those of a batch one by one."""
        found: list[dict[str, Any]] = []
        for seq in range(1, await self.messages() + 1):
            msg = await self.nc.jetstream().get_msg(await self._stream(), seq, direct=True)
            held = msgspec.json.decode(msg.data or b"[]")
            found += held if isinstance(held, list) else [held]
        return found

    async def event_ids(self) -> list[str]:
        """The ids in the log, in order."""
        return [command["event_id"] for command in await self.log()]

    async def messages(self) -> int:
        """How many messages the log has."""
        return int((await self._info())["state"]["messages"])

    async def until_full(self) -> None:
        """Return once there is no room left for another batch."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                info = await self._info()
                if info["state"]["bytes"] > info["config"]["max_bytes"] - BATCH_BYTES:
                    return
                await asyncio.sleep(POLL_INTERVAL_S)

    async def make_room(self) -> None:
        """Do what an operator may: let the log grow."""
        config = (await self._info())["config"] | {"max_bytes": LOG_BYTES}
        await ask(self.nc, f"STREAM.UPDATE.{config['name']}", config)

    async def _info(self) -> dict[str, Any]:
        return await ask(self.nc, f"STREAM.INFO.{await self._stream()}")

    async def _stream(self) -> str:
        """The log that the market lives in: an empty message that expects another stream tells."""
        nowhere = {"Nats-Expected-Stream": "-"}
        refusal = await self.nc.request(subjects.market(MARKET), b"", timeout=5, headers=nowhere)
        return str(msgspec.json.decode(refusal.data)["stream"])


@asynccontextmanager
async def fake_market(
    url: str, *, shards: int = SHARDS, log_bytes: int = LOG_BYTES
) -> AsyncIterator[FakeMarket]:
    """A deployment's streams, made now."""
    async with connected(url, name="stage") as nc:
        await ensure_streams(nc, shards=shards, max_bytes=log_bytes, tick_ms=None)
        yield FakeMarket(nc, url)


def agent(url: str, *, retry_timeout_s: float = 10.0) -> AbstractAsyncContextManager[WalrasClient]:
    """The client under test."""
    return WalrasClient.connect(url, market=MARKET, agent=AGENT, retry_timeout_s=retry_timeout_s)


def result_of(window_id: int, *, event_id: str | None = None) -> AgentResult:
    """A result with one lost bid, if an id is given."""
    lost = (
        BidOutcome(
            event_id=event_id, seq=window_id, ord=0, status=BidStatus.LOST, won={}, paid_micros=0
        )
        if event_id
        else None
    )
    return AgentResult(
        market=MARKET,
        agent_id=AGENT,
        shard=0,
        window_id=window_id,
        balance_micros=0,
        outcomes=[lost] if lost else [],
    )


async def next_windows(subscription: Subscription[T], count: int) -> list[int]:
    """The windows of the next so many that are handed out."""
    async with asyncio.timeout(WITHIN_S):
        return [(await anext(subscription)).window_id for _ in range(count)]
