"""An agent's own results, once and in order, through lost connections and agent restarts.

Results come live, at most once. Promise: whenever one may have been missed, the ledger is asked
from the cursor on before anything later is handed out. That is at the start, after a lost
connection, when messages were dropped, when a window has passed an own command without a result,
and when a balance does not add up. While nothing is missing nothing is asked.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from walras_client.continuity import Continuity
from walras_client.inbox import Inbox
from walras_client.live import Live
from walras_client.sent import Sent
from walras_schemas import AgentResult

EVERY_WINDOW: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading stands: what a later process needs to resume there."""

    window_id: int = 0
    """The last window that was handed out, or the last before reading began; 0 for none."""


HistoryAfter = Callable[[Cursor], Awaitable[list[AgentResult]]]
"""A page of results after a cursor, oldest first; an empty one at the end."""


class Results:
    """An endless iterator over one agent's results; to be iterated by one at a time."""

    def __init__(
        self, live: Live, agent: str, *, sent: Sent, after: Cursor, history: HistoryAfter
    ) -> None:
        self.cursor = after
        """Where reading stands: right after what was handed out last."""
        self.on_settled: Callable[[], None] = _nothing
        """Called when `settled_seq` has moved."""
        self._live = live
        self._agent = agent
        self._history = history
        self._continuity = Continuity(sent)
        self._inbox: Inbox[AgentResult] | None = None
        self._page: deque[AgentResult] = deque()
        self._doubted: AgentResult | None = None
        self._ask_until = EVERY_WINDOW
        """The ledger is asked for results up to this window before later ones are handed out."""

    @property
    def settled_seq(self) -> int:
        """The results of all own commands before this sequence were handed out."""
        return self._continuity.settled_seq

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AgentResult:
        inbox = self._open()
        while (result := self._next(inbox)) is None:
            if self._is_behind:
                await self._ask()
            else:
                await inbox.changed()
        self.cursor = Cursor(result.window_id)
        self._continuity.add(result)
        return result

    async def close(self) -> None:
        """Read no longer; to iterate again is to resume after the cursor."""
        self._inbox = None

    @property
    def _is_behind(self) -> bool:
        return self.cursor.window_id < self._ask_until

    def _open(self) -> Inbox[AgentResult]:
        if self._inbox is None:
            self._inbox = self._live.read_results(self._agent)
            self._ask_until = EVERY_WINDOW
        return self._inbox

    def _next(self, inbox: Inbox[AgentResult]) -> AgentResult | None:
        """The next result, if it has come and surely follows on the last one."""
        if inbox.take_missed():
            self._ask_until = EVERY_WINDOW
        while self._page:
            result = self._page.popleft()
            if result.window_id > self.cursor.window_id:
                return result
        return None if self._is_behind else self._next_live(inbox)

    def _next_live(self, inbox: Inbox[AgentResult]) -> AgentResult | None:
        while (result := inbox.take()) is not None:
            if result.window_id <= self.cursor.window_id:
                continue
            if self._continuity.follows(result):
                return result
            self._doubted, self._ask_until = result, result.window_id
            return None
        self._settle()
        return None

    def _settle(self) -> None:
        """All results that came are handed out: compare with how far the market is."""
        settled = self._live.settled
        if settled.next_seq <= self.settled_seq:
            return
        if self._continuity.lacks_before(settled.next_seq):
            self._ask_until = settled.window_id
        if not self._is_behind:
            self._settle_before(settled.next_seq)

    async def _ask(self) -> None:
        """Take a page from the ledger; an empty one says that nothing was missed after all."""
        next_seq = self._live.settled.next_seq
        page = await self._history(self.cursor)
        self._page.extend(each for each in page if each.window_id > self.cursor.window_id)
        if self._page:
            return
        if self._doubted is not None:
            self._page.append(self._doubted)
        self._doubted, self._ask_until = None, 0
        self._settle_before(next_seq)

    def _settle_before(self, seq: int) -> None:
        self._continuity.settle(seq)
        self.on_settled()


def _nothing() -> None:
    pass
