"""Peers (a) and (b): an asyncio consumer and an SQLAlchemy session, a commit for each bid or batch.

This is the design that Walras replaces. Each bid is a row, a check of the balance and an update of
it; when a window is over, a cycle reads its bids, sorts them by price and allocates greedily.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig
from sqlalchemy import BigInteger, String, create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.baselines.contract import Job
from bench.report.runs import BaselineRun
from connectors.nats.subjects import stream_name

MS_PER_S: Final = 1000
ACK_WAIT_S: Final = 600.0


class Base(DeclarativeBase):
    """The tables of this baseline."""


class Account(Base):
    """An agent's credits."""

    __tablename__ = "account"
    agent: Mapped[str] = mapped_column(String, primary_key=True)
    balance: Mapped[int] = mapped_column(BigInteger)


class Bid(Base):
    """A bid and its outcome."""

    __tablename__ = "bid"
    event_id: Mapped[str] = mapped_column(String, primary_key=True)
    agent: Mapped[str] = mapped_column(String, index=True)
    window_id: Mapped[int] = mapped_column(BigInteger, index=True)
    resource: Mapped[str]
    quantity: Mapped[int] = mapped_column(BigInteger)
    price: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str]
    won: Mapped[int] = mapped_column(BigInteger, default=0)


def run_by_bid(job: Job) -> BaselineRun:
    """Baseline (a): a commit for each bid."""
    return asyncio.run(_run(job, commit_each_bid=True))


def run_by_batch(job: Job) -> BaselineRun:
    """Baseline (b): a commit for each batch that was fetched."""
    return asyncio.run(_run(job, commit_each_bid=False))


async def _run(job: Job, *, commit_each_bid: bool) -> BaselineRun:
    engine = create_engine(job.dsn.replace("postgresql://", "postgresql+psycopg://", 1))
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        market = Market(session, job)
        await _consume(job, market, one_by_one=commit_each_bid)
        seconds = time.perf_counter() - market.began_s
        settled = select(func.count()).where(Bid.status.in_(["won", "lost"]))
        count = session.execute(settled).scalar_one()
    engine.dispose()
    return BaselineRun(settled=count, dropped=market.bids - count, seconds=seconds)


async def _consume(job: Job, market: "Market", *, one_by_one: bool) -> None:
    nc = await nats.connect(job.nats_url)
    patient = ConsumerConfig(ack_wait=ACK_WAIT_S)  # a redelivered bid would fail the batch
    consumer = await nc.jetstream().pull_subscribe("", stream=stream_name(0), config=patient)
    seq = 0
    while seq < job.last_seq and market.bids < job.bids_max:
        messages = await consumer.fetch(job.fetch(seq), timeout=5)
        commands = [command for msg in messages for command in _commands(msg, job)]
        for (_, is_bid), alike in groupby(commands, key=lambda each: (each.window_id, each.is_bid)):
            for chunk in [[each] for each in alike] if is_bid and one_by_one else [list(alike)]:
                market.take(chunk)
        for msg in messages:
            await msg.ack()
        seq = messages[-1].metadata.sequence.stream
    market.clear()
    await nc.close()


@dataclass(frozen=True, slots=True)
class Command:
    """A command, as it came."""

    window_id: int
    agent: str
    content: dict[str, Any]

    @property
    def is_bid(self) -> bool:
        return bool(self.content["type"] == "bid_placed")


def _commands(msg: Msg, job: Job) -> Iterator[Command]:
    time_ms = int(msg.metadata.timestamp.timestamp() * MS_PER_S)
    content = json.loads(msg.data or b"[]")
    for each in content if isinstance(content, list) else [content]:
        agent = msg.subject.rpartition(".")[2]
        yield Command(time_ms // job.workload.window_ms, agent, each)


class Market:
    """Bids as they come, and a cycle when their window is over."""

    def __init__(self, session: Session, job: Job) -> None:
        self.bids = 0
        self.began_s = 0.0
        self._session = session
        self._supply = job.workload.supply
        self._window_id = 0

    def take(self, commands: list[Command]) -> None:
        """Take commands of one window in one transaction."""
        if commands[0].window_id != self._window_id:
            self.clear()
            self._window_id = commands[0].window_id
        bids = [each for each in commands if each.is_bid]
        if bids:
            self.began_s = self.began_s or time.perf_counter()
            self._place(bids)
        for each in commands:
            if each.content["type"] == "credits_granted":
                agent, amount = each.content["agent_id"], each.content["amount_micros"]
                self._session.add(Account(agent=agent, balance=amount))
        self._session.commit()

    def clear(self) -> None:
        """Allocate the window's bids, best price first, and give back what lost."""
        pending = select(Bid).where(Bid.window_id == self._window_id, Bid.status == "pending")
        bids = self._session.scalars(pending).all()
        accounts = self._accounts({bid.agent for bid in bids})
        left: dict[str, int] = {}
        for bid in sorted(bids, key=lambda bid: -bid.price):
            available = left.setdefault(bid.resource, self._supply)
            bid.won = min(bid.quantity, available)
            bid.status = "won" if bid.won else "lost"
            left[bid.resource] = available - bid.won
            accounts[bid.agent].balance += (bid.quantity - bid.won) * bid.price
        self._session.commit()

    def _place(self, bids: list[Command]) -> None:
        accounts = self._accounts({bid.agent for bid in bids})
        for bid in bids:
            account, asked = accounts[bid.agent], bid.content
            cost = asked["quantity"] * asked["unit_price_micros"]
            covered = account.balance >= cost
            if covered:
                account.balance -= cost
            row = Bid(
                event_id=asked["event_id"],
                agent=bid.agent,
                window_id=bid.window_id,
                resource=asked["resource"],
                quantity=asked["quantity"],
                price=asked["unit_price_micros"],
                status="pending" if covered else "rejected",
            )
            self._session.add(row)
        self.bids += len(bids)

    def _accounts(self, agents: set[str]) -> dict[str, Account]:
        """The accounts as they are in the database now, in one question."""
        found = self._session.scalars(select(Account).where(Account.agent.in_(agents)))
        return {account.agent: account for account in found}
