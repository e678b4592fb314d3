"""An agent's side of a market: it bids, reads what came of it, and asks what it owns.

Promise: a command whose method returned is in the log, once; a result is handed out once and in
order; whatever fails until its retries end is a `ClientError` that says why.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NewType, Self, TypeVar, overload

from nats.errors import Error as NatsError

from walras_client.errors import Denied, QueryRefused, unavailable
from walras_client.ids import new_event_id
from walras_client.live import OUTAGE_LIMIT_S, Live
from walras_client.nats.broker import BrokerAddress
from walras_client.nats.connection import Connection, closing, connect
from walras_client.nats.errors import AccessDenied, describe
from walras_client.nats.publisher import PubAck, publish
from walras_client.outcomes import Outcome, Outcomes
from walras_client.prices import PricesFeed
from walras_client.queries import query
from walras_client.results import Cursor, Results
from walras_client.sent import Sent
from walras_schemas import (
    DEDUPE_HORIZON_MS,
    AgentResult,
    BalanceQuery,
    BalanceReply,
    BidOutcome,
    BidPlaced,
    BidWithdrawn,
    CommandBase,
    CreditsTransferred,
    HistoryQuery,
    HistoryReply,
    PricesQuery,
    PricesReply,
    QueryErrorReason,
    message_id,
    queries,
    subjects,
)
from walras_schemas.queries import HISTORY_DEFAULT, HISTORY_MAX, Question
from walras_schemas.wire import Message

RETRY_TIMEOUT_S: Final = 30.0
"""Half the time after which an event id is stale: what the last retry submits still counts."""

BidId = NewType("BidId", str)
"""The event id of a bid: its outcome says what was won."""

NOTHING_YET: Final = {QueryErrorReason.UNKNOWN_MARKET, QueryErrorReason.UNKNOWN_AGENT}
"""What the ledger answers of a market that has not opened, an agent that no command names yet."""

R = TypeVar("R", bound=Message)


class WalrasClient:
    """One agent in one market, over one connection."""

    def __init__(
        self, nc: Connection, live: Live, *, agent: str, since: Cursor, retry_timeout_s: float
    ) -> None:
        self.market = market = live.market
        self.agent = agent
        self._nc = nc
        self._live = live
        self._since = since
        self._retry_timeout_s = retry_timeout_s
        self._bids = subjects.bid(market, agent)
        self._transfers = subjects.transfer(market, agent)
        self._sent = Sent()
        self._outcomes = Outcomes(self.results(), self._sent)

    @classmethod
    @asynccontextmanager
    async def connect(  # noqa: PLR0913 - each is a part of a connection
        cls,
        url: str,
        *,
        market: str,
        agent: str,
        creds: str | Path | None = None,
        ca: str | Path | None = None,
        retry_timeout_s: float = RETRY_TIMEOUT_S,
    ) -> AsyncIterator[Self]:
        """Take part for a block.

        `creds` is the agent's credentials file, `ca` one with the certificates to trust (for
        `tls://`). `retry_timeout_s` is how long a command is retried; a stream that is full and a
        server that is unavailable for longer end it.
        """
        one = cls.connect_many(
            url,
            market=market,
            agents=[agent],
            creds=creds,
            ca=ca,
            retry_timeout_s=retry_timeout_s,
        )
        async with one as clients:
            yield clients[agent]

    @classmethod
    @asynccontextmanager
    async def connect_many(  # noqa: PLR0913 - each is a part of a connection
        cls,
        url: str,
        *,
        market: str,
        agents: Iterable[str],
        creds: str | Path | None = None,
        ca: str | Path | None = None,
        retry_timeout_s: float = RETRY_TIMEOUT_S,
    ) -> AsyncIterator[dict[str, Self]]:
        """Take part for a block as several agents of one program, over one connection."""
        if not 0 < retry_timeout_s < DEDUPE_HORIZON_MS / 1000:
            raise ValueError("retry_timeout_s is above 0 and below 60: older commands are stale")
        names = list(agents)
        async with _connected(url, market, creds=creds, ca=ca) as nc:
            live = Live(nc, market)
            await live.subscribe(names)
            since = await _now(nc, market, retry_timeout_s=retry_timeout_s)
            clients = {
                agent: cls(nc, live, agent=agent, since=since, retry_timeout_s=retry_timeout_s)
                for agent in names
            }
            try:
                yield clients
            finally:
                for client in clients.values():
                    await client.close()

    async def bid(
        self, resource: str, quantity: int, unit_price_micros: int, min_quantity: int = 1
    ) -> BidId:
        """Bid for units of one resource in the open window; its event id."""
        bid = BidPlaced(
            event_id=new_event_id(),
            resource=resource,
            quantity=quantity,
            unit_price_micros=unit_price_micros,
            min_quantity=min_quantity,
        )
        return BidId(await self._submit_one(bid))

    async def bid_bundle(self, bundle: Mapping[str, int], *, limit_micros: int) -> BidId:
        """Bid for several resources, all or nothing, in the open window; its event id."""
        bid = BidPlaced(event_id=new_event_id(), bundle=dict(bundle), limit_micros=limit_micros)
        return BidId(await self._submit_one(bid))

    async def withdraw(self, event_id: str) -> str:
        """Take back a bid while its window is open; the event id of the withdrawal."""
        return await self._submit_one(BidWithdrawn(event_id=new_event_id(), bid_event_id=event_id))

    async def transfer(self, to: str, amount_micros: int, purpose: str | None = None) -> str:
        """Give credits to another agent; the event id."""
        asked: dict[str, Any] = {} if purpose is None else {"purpose": purpose}
        return await self._submit_one(
            CreditsTransferred(
                event_id=new_event_id(), to_agent_id=to, amount_micros=amount_micros, **asked
            )
        )

    async def submit_many(self, commands: Sequence[CommandBase]) -> list[str]:
        """Put up to 1000 commands into the log as one message, in this order; their event ids.

        Bids and withdrawals go together, transfers by themselves. Each is judged by itself.
        """
        await self.submit(commands)
        return [command.event_id for command in commands]

    async def submit(self, commands: Sequence[CommandBase]) -> PubAck:
        """Like `submit_many`; where the message lies in the log."""
        ids = [command.event_id for command in commands]
        ack = await publish(
            self._nc,
            self._subject(commands),
            commands,
            msg_id=message_id(self.market, self.agent, ids),
            retry_timeout_s=self._retry_timeout_s,
        )
        self._sent.add(ack.seq, commands)
        return ack

    @overload
    async def outcome(self, event_id: BidId, timeout_s: float) -> BidOutcome: ...
    @overload
    async def outcome(self, event_id: str, timeout_s: float) -> Outcome: ...
    async def outcome(self, event_id: str, timeout_s: float) -> Outcome:
        """What became of a command, once its window has closed."""
        return await self._outcomes.of(event_id, timeout_s=timeout_s)

    def results(self, *, after: Cursor | None = None) -> Results:
        """All results of the agent after a cursor, or since the client connected."""
        return Results(
            self._live,
            self.agent,
            sent=self._sent,
            after=after or self._since,
            history=self._history_after,
        )

    def prices_feed(self) -> PricesFeed:
        """The prices of every window from now on, live; `prices` has the last at any time."""
        return PricesFeed(self._live)

    async def balance(self) -> BalanceReply:
        """What the agent owns in the committed ledger; open bids may hold a part of it."""
        subject = queries.balance_subject(self.market, self.agent)
        return await self._ask(subject, BalanceQuery(), reply=BalanceReply)

    async def prices(self) -> PricesReply:
        """What the resources of the market cost in its last window."""
        subject = queries.prices_subject(self.market)
        return await self._ask(subject, PricesQuery(), reply=PricesReply)

    async def history(
        self,
        *,
        after_window: int | None = None,
        before_window: int | None = None,
        limit: int = HISTORY_DEFAULT,
    ) -> list[AgentResult]:
        """A page of past results, oldest first; an empty one means that there are no more.

        The oldest after `after_window`; else the newest before `before_window`.
        """
        asked: dict[str, Any] = {
            "after_window": after_window,
            "before_window": before_window,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        question = HistoryQuery(limit=limit, **given)
        subject = queries.history_subject(self.market, self.agent)
        return (await self._ask(subject, question, reply=HistoryReply)).results

    async def close(self) -> None:
        """Read outcomes no longer; the block that connected does this at its end."""
        await self._outcomes.close()

    async def _history_after(self, cursor: Cursor) -> list[AgentResult]:
        question = HistoryQuery(after_window=cursor.window_id, limit=HISTORY_MAX)
        subject = queries.history_subject(self.market, self.agent)
        try:
            async with self._live.asking:
                reply = await query(
                    self._nc,
                    subject,
                    question,
                    reply=HistoryReply,
                    retry_timeout_s=OUTAGE_LIMIT_S,
                )
        except QueryRefused as refused:
            if refused.reason in NOTHING_YET:
                return []
            raise
        return reply.results

    async def _submit_one(self, command: CommandBase) -> str:
        await self.submit([command])
        return command.event_id

    def _subject(self, commands: Sequence[CommandBase]) -> str:
        if all(isinstance(command, BidPlaced | BidWithdrawn) for command in commands):
            return self._bids
        if all(isinstance(command, CreditsTransferred) for command in commands):
            return self._transfers
        raise ValueError("a message holds bids and withdrawals, or transfers: an agent's commands")

    async def _ask(self, subject: str, question: Question, *, reply: type[R]) -> R:
        return await query(
            self._nc, subject, question, reply=reply, retry_timeout_s=self._retry_timeout_s
        )


@asynccontextmanager
async def _connected(
    url: str, market: str, *, creds: str | Path | None, ca: str | Path | None
) -> AsyncIterator[Connection]:
    try:
        address = BrokerAddress.parse(url).using(
            creds=Path(creds) if creds else None, ca=Path(ca) if ca else None
        )
        nc = await connect(str(address), name=f"walras agents of {market}")
    except AccessDenied as failure:
        raise Denied(
            "the broker refuses these credentials",
            detail=describe(failure),
            hint="Ask the operator for a creds file: `walras agent create` writes one",
        ) from failure
    except (NatsError, OSError, ValueError) as failure:
        raise unavailable(describe(failure)) from failure
    async with closing(nc):
        yield nc


async def _now(nc: Connection, market: str, *, retry_timeout_s: float) -> Cursor:
    """The place after every window of the market that is in the ledger by now."""
    subject = queries.prices_subject(market)
    try:
        last = await query(
            nc, subject, PricesQuery(), reply=PricesReply, retry_timeout_s=retry_timeout_s
        )
    except QueryRefused as refused:
        if refused.reason in NOTHING_YET:
            return Cursor()
        raise
    return Cursor(last.window_id)
