"""An agent's own results, and how it catches up on those that were dropped before it read them."""

from collections.abc import AsyncIterator, Awaitable, Callable

from walras_client.nats.connection import Link
from walras_client.subscription import Bookmark, Following
from walras_schemas import AgentResult, subjects

HistoryAfter = Callable[[Bookmark], Awaitable[list[AgentResult]]]
"""A page of results after a place, oldest first; an empty one at the end."""


class Results(Following[AgentResult]):
    """Every result of one agent, once and in order."""

    def __init__(
        self, link: Link, market: str, agent: str, *, after: Bookmark, history: HistoryAfter
    ) -> None:
        subject = subjects.result(market, agent)
        super().__init__(link, subject, read=AgentResult.model_validate_json, after=after)
        self._history = history

    async def rebuild(self) -> AsyncIterator[AgentResult]:
        """After `ResultsLost`: what the ledger holds after the last result that was handed out.

        Each is handed out as if it had been read; reading goes on after the last of them.
        """
        while page := await self._history(self.bookmark):
            for result in page:
                self._hand_out(result)
                yield result
