"""An agent's own results, and how it catches up on those that were dropped before it read them."""

from collections.abc import AsyncIterator, Awaitable, Callable

from walras_client.nats.connection import Connection
from walras_client.subscription import Cursor, Subscription
from walras_schemas import AgentResult, subjects

HistoryAfter = Callable[[Cursor], Awaitable[list[AgentResult]]]
"""A page of results after a cursor, oldest first; an empty one at the end."""


class Results(Subscription[AgentResult]):
    """Every result of one agent, once and in order."""

    def __init__(
        self, nc: Connection, market: str, agent: str, *, after: Cursor, history: HistoryAfter
    ) -> None:
        subject = subjects.result(market, agent)
        super().__init__(nc, subject, read=AgentResult.model_validate_json, after=after)
        self._history = history

    async def rebuild(self) -> AsyncIterator[AgentResult]:
        """After `ResultsLost`: what the ledger holds after the last result that was handed out.

        Each is handed out as if it had been read; iterating resumes after the last of them.
        """
        while page := await self._history(self.cursor):
            for result in page:
                self._advance(result)
                yield result
