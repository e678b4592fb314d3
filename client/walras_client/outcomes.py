"""What became of single commands, for who waits for one.

Promise: an outcome since the client connected is found, also when nobody waited for it yet, until
so many others have come that it is forgotten. A window too large to list its outcomes is reported.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from walras_client.errors import OutcomeNotListed, OutcomeTimeout
from walras_client.results import Results
from walras_client.sent import Sent
from walras_schemas import AgentResult, BidOutcome, CommandOutcome

REMEMBERED: Final = 20_000

Outcome = BidOutcome | CommandOutcome


class Outcomes:
    """Reads the results from the first question on, in a task of its own."""

    def __init__(self, results: Results, sent: Sent) -> None:
        self._results = results
        self._sent = sent
        self._known: OrderedDict[str, Outcome] = OrderedDict()
        self._incomplete: AgentResult | None = None
        """The last result that listed no outcomes."""
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        results.on_settled = self._wake

    async def of(self, event_id: str, *, timeout_s: float) -> Outcome:
        """What became of the command."""
        reading = self._start()
        try:
            async with asyncio.timeout(timeout_s):
                while not (self._is_decided(event_id) or reading.done()):
                    await self._changed.wait()
        except TimeoutError:
            raise _no_outcome(event_id, f"waited {timeout_s:g} s") from None
        if event_id in self._known:
            return self._known[event_id]
        if self._incomplete is not None and self._is_decided(event_id):
            raise _not_listed(event_id, self._incomplete)
        if not reading.cancelled():
            reading.result()
        raise _no_outcome(event_id, "the client was closed")

    async def close(self) -> None:
        """Read no longer."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._results.close()

    def _is_decided(self, event_id: str) -> bool:
        """Whether the outcome is known, or will never be: its window did not list it."""
        if event_id in self._known:
            return True
        sent = self._sent.get(event_id)
        if self._incomplete is None or sent is None:
            return False
        return sent.seq < self._results.settled_seq

    def _start(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_for_ever())
        return self._reading

    async def _read_for_ever(self) -> None:
        try:
            async for result in self._results:
                self._remember(result)
        finally:
            self._wake()

    def _remember(self, result: AgentResult) -> None:
        if not result.complete:
            self._incomplete = result
        for outcome in result.outcomes or ():
            # Of a command that came twice the first outcome counts: the second is `duplicate`.
            self._known.setdefault(outcome.event_id, outcome)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        self._wake()

    def _wake(self) -> None:
        """Let all who wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()


def _no_outcome(event_id: str, why: str) -> OutcomeTimeout:
    return OutcomeTimeout(
        "the market has not published the outcome of a command",
        detail=f"{event_id}, {why}",
        hint="Its window may still be open, or the market is stopped: wait again, or ask `history`",
    )


def _not_listed(event_id: str, result: AgentResult) -> OutcomeNotListed:
    counts = ", ".join(f"{count} {status}" for status, count in (result.counts or {}).items())
    where = f"market = '{result.market}' AND event_id = '{event_id}'"
    return OutcomeNotListed(
        "the market did not list the outcome of a command",
        detail=f"{event_id}; window {result.window_id} is too large for one message: {counts}",
        hint=f"`walras sql` has it: FROM bids (of another command: commands) WHERE {where}",
    )
