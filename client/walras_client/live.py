"""What a market publishes, as it comes over one connection, for the agents that read it there.

Promise: each reader has the messages of its own subject in order, and word (`Inbox.miss`) of every
reason to think that some were lost: a lost connection, a subscription that fell behind. Nothing of
JetStream is used: these are plain subscriptions.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar
from weakref import WeakSet

from nats.aio.msg import Msg

from walras_client.errors import unavailable
from walras_client.inbox import Inbox
from walras_client.nats.connection import Connection
from walras_client.nats.errors import RETRYABLE, describe
from walras_schemas import AgentResult, MarketWindow, subjects
from walras_schemas.wire import Message

PENDING_MESSAGES: Final = 10_000
"""How many messages nats-py holds of one subscription before it drops some."""
OUTAGE_LIMIT_S: Final = 300.0
ASKING: Final = 8
"""How many agents of one connection ask the ledger at a time."""

M = TypeVar("M", bound=Message)
OnMessage = Callable[[Msg], Awaitable[None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    """How far the market is, by its last window that was published."""

    window_id: int = -1
    next_seq: int = 0
    """The shard is settled up to this sequence, exclusive."""


class Live:
    """The subscriptions of one market over one connection."""

    def __init__(self, nc: Connection, market: str) -> None:
        self.market = market
        self.settled = Settled()
        self.asking = asyncio.Semaphore(ASKING)
        self._nc = nc
        # Weak: who has closed or forgotten its subscription gets nothing more.
        self._results: defaultdict[str, WeakSet[Inbox[AgentResult]]] = defaultdict(WeakSet)
        self._windows: WeakSet[Inbox[MarketWindow]] = WeakSet()

    async def subscribe(self, agents: Iterable[str]) -> None:
        """Have everything delivered that is published from now on."""
        self._nc.on_missed = self._on_missed
        for agent in agents:
            await self._subscribe(subjects.result(self.market, agent), self._on_result)
        await self._subscribe(subjects.window(self.market), self._on_window)

    def read_results(self, agent: str) -> Inbox[AgentResult]:
        """An inbox for the results of an agent, filled for as long as somebody holds it."""
        inbox: Inbox[AgentResult] = Inbox()
        self._results[subjects.result(self.market, agent)].add(inbox)
        return inbox

    def read_windows(self) -> Inbox[MarketWindow]:
        """An inbox for the windows of the market, filled for as long as somebody holds it."""
        inbox: Inbox[MarketWindow] = Inbox()
        self._windows.add(inbox)
        return inbox

    async def until_connected(self) -> None:
        """Return once there is a connection; `Unavailable` where there will be none for long."""
        try:
            async with asyncio.timeout(OUTAGE_LIMIT_S):
                await self._nc.until_connected()
        except RETRYABLE as error:
            raise unavailable(describe(error)) from error

    async def _subscribe(self, subject: str, on_message: OnMessage) -> None:
        await self._nc.subscribe(subject, cb=on_message, pending_msgs_limit=PENDING_MESSAGES)

    async def _on_result(self, msg: Msg) -> None:
        inboxes = self._results[msg.subject]
        result = _read(AgentResult, msg) if inboxes else None
        if result is not None:
            for inbox in inboxes:
                inbox.put(result, len(msg.data))

    async def _on_window(self, msg: Msg) -> None:
        window = _read(MarketWindow, msg)
        if window is None or window.window_id <= self.settled.window_id:
            return
        self.settled = Settled(window.window_id, window.next_seq)
        for inbox in self._windows:
            inbox.put(window, len(msg.data))
        for inboxes in self._results.values():
            for waiting in inboxes:
                waiting.wake()

    def _on_missed(self, subject: str | None) -> None:
        """Tell the readers of a subject, or all."""
        of_agents = self._results.values() if subject is None else [self._results[subject]]
        for inboxes in of_agents:
            for inbox in inboxes:
                inbox.miss()
        if subject in {None, subjects.window(self.market)}:
            for windows in self._windows:
                windows.miss()


def _read(kind: type[M], msg: Msg) -> M | None:
    try:
        return kind.model_validate_json(msg.data)
    except ValueError as invalid:
        log.warning("%s: skipped what is no %s: %s", msg.subject, kind.__name__, invalid)
        return None
