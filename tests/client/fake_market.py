"""What the tests of the client play on: the streams of a deployment, without a flow behind them.

A `FakeMarket` speaks for the operator, the market and the ledger; the client under test is the only
agent.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
from nats.aio.msg import Msg

from connectors.nats.connection import connected
from connectors.nats.topology import ensure_streams
from tests.support.servers import SHARDS
from walras_client import WalrasClient
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask
from walras_schemas import (
    AgentResult,
    BidOutcome,
    BidStatus,
    CommandOutcome,
    CommandStatus,
    Credit,
    HistoryQuery,
    HistoryReply,
    MarketWindow,
    PricesReply,
    QueryError,
    QueryErrorReason,
    subjects,
)
from walras_schemas.wire import Message

LOG_BYTES: Final = 8 << 20
BATCH_BYTES: Final = 200_000
WITHIN_S: Final = 20.0
POLL_INTERVAL_S: Final = 0.01
MARKET: Final = "m1"
AGENT: Final = "a1"
PAGE: Final = 50

Outcomes = Sequence[BidOutcome | CommandOutcome]


@dataclass(slots=True)
class FakeLedger:
    """What is committed, and how often the agent asked for it."""

    results: list[AgentResult] = field(default_factory=list)
    last_window: int | None = None
    """None before the market has opened."""
    balance_micros: int = 0
    refusal: QueryErrorReason | None = None
    """Why it does not answer with a history, if it does not."""
    questions: int = 0

    def add(
        self,
        window_id: int,
        outcomes: Outcomes = (),
        *,
        received_micros: int = 0,
        given_micros: int = 0,
    ) -> AgentResult:
        """Commit a window in which the agent sent these commands and received some credits."""
        paid = sum(each.paid_micros for each in outcomes if isinstance(each, BidOutcome))
        self.balance_micros += received_micros - given_micros - paid
        result = AgentResult(
            market=MARKET,
            agent_id=AGENT,
            shard=0,
            window_id=window_id,
            balance_micros=self.balance_micros,
            complete=True,
            outcomes=list(outcomes),
            credits=[_grant(window_id, received_micros)] if received_micros else [],
        )
        return self.commit(result)

    def commit(self, result: AgentResult) -> AgentResult:
        """Commit this result."""
        self.results.append(result)
        self.last_window = result.window_id
        return result

    def answer(self, subject: str, payload: bytes) -> Message:
        """What the service for questions answers."""
        if ".prices." in subject:
            if self.last_window is None:
                return _refused(QueryErrorReason.UNKNOWN_MARKET)
            return PricesReply(market=MARKET, window_id=self.last_window, prices=[])
        question = HistoryQuery.model_validate_json(payload)
        self.questions += 1
        if self.refusal is not None:
            return _refused(self.refusal)
        assert question.after_window is not None, "the client asks forward"
        later = [each for each in self.results if each.window_id > question.after_window]
        return HistoryReply(market=MARKET, agent_id=AGENT, results=later[:PAGE])


@dataclass(frozen=True, slots=True)
class FakeMarket:
    """The market's and the operator's side of the subjects."""

    nc: Connection
    url: str
    ledger: FakeLedger

    async def settle(self, *window_ids: int, outcomes: Outcomes = (), **amounts: int) -> None:
        """Commit these windows and publish them, with the same outcomes in each."""
        for window_id in window_ids:
            await self.publish(self.ledger.add(window_id, outcomes, **amounts))
            await self.close_window(window_id)

    async def publish(self, *results: AgentResult) -> None:
        """Publish results of the agent, as they are."""
        for result in results:
            await self.nc.publish(subjects.result(MARKET, AGENT), written(result))

    async def publish_for_others(self, messages: int) -> None:
        """Publish what is not for the agent."""
        for _ in range(messages):
            await self.nc.publish(subjects.result(MARKET, "other"), b"{}")

    async def close_window(self, window_id: int) -> None:
        """Publish that the market is settled up to all that is in the log now."""
        window = window_of(window_id, next_seq=await self.messages() + 1)
        payload = window.model_dump_json().encode()
        await self.nc.jetstream().publish(subjects.window(MARKET), payload)

    async def until_asked(self, questions: int = 1) -> None:
        """Return once the agent has asked for its history so often."""
        async with asyncio.timeout(WITHIN_S):
            while self.ledger.questions < questions:  # noqa: ASYNC110 - it wakes nobody
                await asyncio.sleep(POLL_INTERVAL_S)

    async def log(self) -> list[dict[str, Any]]:
        """Every command in the log of the market, in order, those of a batch one by one."""
        found: list[dict[str, Any]] = []
        for seq in range(1, await self.messages() + 1):
            msg = await self.nc.jetstream().get_msg(await self.stream(), seq, direct=True)
            held = msgspec.json.decode(msg.data or b"[]")
            found += held if isinstance(held, list) else [held]
        return found

    async def fill_log(self, messages: int) -> None:
        """Put so many messages into the log, whatever they hold."""
        for _ in range(messages):
            await self.nc.jetstream().publish(subjects.bid(MARKET, AGENT), b"{}")

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

    async def stream(self) -> str:
        """The log that the market lives in: an empty message that expects another stream tells."""
        nowhere = {"Nats-Expected-Stream": "-"}
        refusal = await self.nc.request(subjects.market(MARKET), b"", timeout=5, headers=nowhere)
        return str(msgspec.json.decode(refusal.data)["stream"])

    async def _info(self) -> dict[str, Any]:
        return await ask(self.nc, f"STREAM.INFO.{await self.stream()}")


@asynccontextmanager
async def fake_market(
    url: str,
    *,
    shards: int = SHARDS,
    log_bytes: int = LOG_BYTES,
    ledger: FakeLedger | None = None,
) -> AsyncIterator[FakeMarket]:
    """A deployment's streams, made now, and its answers from a ledger."""
    async with answering(url, ledger or FakeLedger()) as market:
        await ensure_streams(market.nc, shards=shards, max_bytes=log_bytes, tick_ms=None)
        yield market


@asynccontextmanager
async def answering(url: str, ledger: FakeLedger) -> AsyncIterator[FakeMarket]:
    """Answers from a ledger, and streams that somebody else has made."""
    async with connected(url, name="stage") as nc:

        async def on_question(msg: Msg) -> None:
            answer = ledger.answer(msg.subject, msg.data)
            headers = {"Nats-Service-Error-Code": "-"} if isinstance(answer, QueryError) else None
            await nc.publish(msg.reply, written(answer), headers=headers)

        await nc.subscribe("query.>", cb=on_question)
        await nc.flush()
        yield FakeMarket(nc, url, ledger)


def agent(url: str, *, retry_timeout_s: float = 10.0) -> AbstractAsyncContextManager[WalrasClient]:
    """The client under test."""
    return WalrasClient.connect(url, market=MARKET, agent=AGENT, retry_timeout_s=retry_timeout_s)


def written(message: Message) -> bytes:
    """The message as the market writes it: nothing for what is absent."""
    return message.model_dump_json(exclude_none=True).encode()


def lost(event_id: str, seq: int) -> BidOutcome:
    """The outcome of a bid that won nothing."""
    return BidOutcome(
        event_id=event_id, seq=seq, ord=0, status=BidStatus.LOST, won={}, paid_micros=0
    )


def transferred(event_id: str, seq: int) -> CommandOutcome:
    """The outcome of a transfer that was applied."""
    return CommandOutcome(
        event_id=event_id,
        seq=seq,
        ord=0,
        type="credits_transferred",
        status=CommandStatus.APPLIED,
    )


def incomplete(window_id: int, *, lost: int) -> AgentResult:
    """A result that is too large to list its outcomes."""
    return AgentResult(
        market=MARKET,
        agent_id=AGENT,
        shard=0,
        window_id=window_id,
        balance_micros=0,
        complete=False,
        counts={BidStatus.LOST: lost},
    )


def window_of(window_id: int, *, next_seq: int) -> MarketWindow:
    """A window of the market in which nothing is of interest but how far it is settled."""
    return MarketWindow(
        market=MARKET,
        shard=0,
        window_id=window_id,
        window_ms=1000,
        next_seq=next_seq,
        digest="0" * 64,
        closed_at="2026-11-22T16:51:37Z",
        rule="uniform",
        agents=0,
        bids=0,
        won=0,
        partially_won=0,
        lost=0,
        withdrawn=0,
        rejected=0,
        commands=0,
        paid_micros=0,
        offered_micros=0,
        served_micros=0,
        prices=[],
    )


class OfWindow(Protocol):
    """A message about one window."""

    @property
    def window_id(self) -> int: ...


async def next_windows(messages: AsyncIterator[OfWindow], count: int) -> list[int]:
    """The windows of the next so many that are handed out."""
    async with asyncio.timeout(WITHIN_S):
        return [(await anext(messages)).window_id for _ in range(count)]


def _grant(window_id: int, amount_micros: int) -> Credit:
    return Credit(
        seq=window_id, ord=0, kind="grant", from_agent_id="treasury", amount_micros=amount_micros
    )


def _refused(reason: QueryErrorReason) -> QueryError:
    return QueryError(reason=reason, detail="so the test wants it")
