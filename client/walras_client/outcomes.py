"""What became of single commands, for whoever waits for one.

Promise: an outcome that was told since the client connected is found, also when nobody waited for
it yet, until so many others have come that it is forgotten.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from walras_client.errors import NoOutcome, ResultsLost
from walras_client.results import Results
from walras_schemas import AgentResult, BidOutcome, CommandOutcome

REMEMBERED: Final = 20_000

Outcome = BidOutcome | CommandOutcome


class Outcomes:
    """Listens from the first question on, in a task of its own."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._told: OrderedDict[str, Outcome] = OrderedDict()
        self._news = asyncio.Condition()
        self._listening: asyncio.Task[None] | None = None

    async def of(self, event_id: str, *, timeout_s: float) -> Outcome:
        """What became of the command."""
        listening = self._listen()

        def is_over() -> bool:
            return event_id in self._told or listening.done()

        try:
            async with asyncio.timeout(timeout_s), self._news:
                await self._news.wait_for(is_over)
        except TimeoutError:
            raise _no_outcome(event_id, f"waited {timeout_s:g} s") from None
        if event_id not in self._told:
            if listening.cancelled():
                raise _no_outcome(event_id, "the client was closed")
            listening.result()
        return self._told[event_id]

    async def close(self) -> None:
        """Listen no longer."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._results.close()

    def _listen(self) -> asyncio.Task[None]:
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen_for_ever())
        return self._listening

    async def _listen_for_ever(self) -> None:
        try:
            while True:
                try:
                    async for result in self._results:
                        await self._take(result)
                except ResultsLost:
                    async for result in self._results.rebuild():
                        await self._take(result)
        finally:
            async with self._news:
                self._news.notify_all()

    async def _take(self, result: AgentResult) -> None:
        async with self._news:
            for outcome in result.outcomes:
                # Of a command that came twice the first outcome counts: the second is `duplicate`.
                self._told.setdefault(outcome.event_id, outcome)
            while len(self._told) > REMEMBERED:
                self._told.popitem(last=False)
            self._news.notify_all()


def _no_outcome(event_id: str, why: str) -> NoOutcome:
    return NoOutcome(
        "the market has not told what became of a command",
        detail=f"{event_id}, {why}",
        hint="Its window may be open still, or the market stands: wait again, or ask its history",
    )
