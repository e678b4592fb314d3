"""The prices of a market as its windows close, for who follows them.

Promise: what is handed out is in order and comes once. It is live: a window that was published
while the connection was lost, or that a slow reader left unread, is not made up for.
"""

from typing import Self

from walras_client.inbox import Inbox
from walras_client.live import Live
from walras_schemas import MarketWindow


class PricesFeed:
    """An endless iterator over the windows of one market from its making on."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._inbox: Inbox[MarketWindow] | None = live.read_windows()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MarketWindow:
        inbox = self._inbox = self._inbox or self._live.read_windows()
        while (window := inbox.take()) is None:
            inbox.take_missed()
            await self._live.until_connected()
            await inbox.changed()
        return window

    async def close(self) -> None:
        """Read no longer; to iterate again is to begin anew."""
        self._inbox = None
