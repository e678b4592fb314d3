"""What became of single commands, for who waits for one.

Promise: an outcome that was published since the client connected is found, also when nobody waited
for it yet, until so many others have come that it is forgotten.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from walras_client.errors import OutcomeTimeout, ResultsLost
from walras_client.results import Results
from walras_schemas import AgentResult, BidOutcome, CommandOutcome

REMEMBERED: Final = 20_000

Outcome = BidOutcome | CommandOutcome


class Outcomes:
    """Reads the results from the first question on, in a task of its own."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._known: OrderedDict[str, Outcome] = OrderedDict()
        self._changed = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    async def of(self, event_id: str, *, timeout_s: float) -> Outcome:
        """What became of the command."""
        reading = self._start()

        def is_over() -> bool:
            return event_id in self._known or reading.done()

        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(is_over)
        except TimeoutError:
            raise _no_outcome(event_id, f"waited {timeout_s:g} s") from None
        if event_id not in self._known:
            if reading.cancelled():
                raise _no_outcome(event_id, "the client was closed")
            reading.result()
        return self._known[event_id]

    async def close(self) -> None:
        """Read no longer."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._results.close()

    def _start(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_for_ever())
        return self._reading

    async def _read_for_ever(self) -> None:
        try:
            while True:
                try:
                    async for result in self._results:
                        await self._remember(result)
                except ResultsLost:
                    async for result in self._results.rebuild():
                        await self._remember(result)
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _remember(self, result: AgentResult) -> None:
        async with self._changed:
            for outcome in result.outcomes:
                # Of a command that came twice the first outcome counts: the second is `duplicate`.
                self._known.setdefault(outcome.event_id, outcome)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            self._changed.notify_all()


def _no_outcome(event_id: str, why: str) -> OutcomeTimeout:
    return OutcomeTimeout(
        "the market has not published what became of a command",
        detail=f"{event_id}, {why}",
        hint="Its window may still be open, or the market is stopped: wait again, or ask `history`",
    )
