"""What a person sees while a simulated market runs: its progress, and the prices as they move.

Promise: all of it goes to stderr, so that stdout holds only the results. A terminal shows one
live display; anything else gets a plain line every few seconds.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flows.simulation.session import Run
from walras_schemas import MICROS_PER_CREDIT, BidStatus, MarketWindow

REFRESH_INTERVAL_S: Final = 0.2
LINE_INTERVAL_S: Final = 5.0
TREND_WINDOWS: Final = 24
BAR_COLUMNS: Final = 40
STEPS: Final = "▁▂▃▄▅▆▇█"


@contextmanager
def stage(console: Console, doing: str) -> Iterator[None]:
    """Print what the block does while it does it."""
    if console.is_terminal:
        with console.status(doing):
            yield
    else:
        console.print(doing)
        yield


@asynccontextmanager
async def progress(console: Console, run: Run, *, seconds: int) -> AsyncIterator[None]:
    """Show `run` while the block runs."""
    show = _show_live if console.is_terminal else _show_lines
    showing = asyncio.create_task(show(console, RunView(run, seconds=seconds)))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait([showing])
        if not showing.cancelled():
            showing.result()


@dataclass(frozen=True, slots=True)
class RunView:
    """A run and how long it is meant to last."""

    run: Run
    seconds: int

    def display(self, elapsed_s: float) -> RenderableType:
        """Everything at a glance."""
        done = min(elapsed_s, self.seconds)
        bar = ProgressBar(total=self.seconds, completed=done, width=BAR_COLUMNS)
        head = Table.grid(padding=(0, 2))
        head.add_row(bar, f"{int(done)} of {self.seconds} s", f"{self._windows()} windows cleared")
        return Padding(Group(head, "", Text(self.counts()), "", self._prices()), (0, 2))

    def line(self, elapsed_s: float) -> str:
        """The same in one line."""
        return f"{int(elapsed_s)} s: {self._windows()} windows cleared, {self.counts()}"

    def _windows(self) -> int:
        return len(self.run.market.windows)

    def counts(self) -> str:
        """What was sent, and what came of it."""
        stats, seen = self.run.stats, self.run.market.outcomes
        won = seen[BidStatus.WON] + seen[BidStatus.PARTIALLY_WON]
        return (
            f"{len(stats.acknowledged):,} commands in the log, {seen.total():,} answered: "
            f"{won:,} won, {seen[BidStatus.LOST]:,} lost, {seen[BidStatus.REJECTED]:,} rejected"
        )

    def _prices(self) -> Table:
        windows = self.run.market.windows[-TREND_WINDOWS:]
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        table.add_column("resource")
        table.add_column("last price", justify="right")
        table.add_column("sold", justify="right")
        table.add_column("price, window by window", style="cyan")
        for name, price in sorted(self.run.market.prices.items()):
            history = prices_of(windows, name)
            sold = f"{price.sold * 100 // price.supply} %" if price.supply else "-"
            last = "-" if price.clearing_micros is None else in_credits(price.clearing_micros)
            table.add_row(name, last, sold, sparkline(history))
        return table


async def _show_live(console: Console, view: RunView) -> None:
    clock = asyncio.get_running_loop()
    start_s = clock.time()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(view.display(clock.time() - start_s), refresh=True)
            await asyncio.sleep(REFRESH_INTERVAL_S)


async def _show_lines(console: Console, view: RunView) -> None:
    clock = asyncio.get_running_loop()
    start_s = clock.time()
    while True:
        await asyncio.sleep(LINE_INTERVAL_S)
        console.print(view.line(clock.time() - start_s), highlight=False, soft_wrap=True)


def prices_of(windows: Sequence[MarketWindow], resource: str) -> list[int]:
    """The clearing prices of a resource, in the order of the windows that sold any."""
    return [
        price.clearing_micros
        for window in windows
        for price in window.prices
        if price.resource == resource and price.clearing_micros is not None
    ]


def sparkline(values: Sequence[int]) -> str:
    """Values as a row of bars between the least and the greatest of them."""
    if not values:
        return ""
    low, high = min(values), max(values)
    steps = len(STEPS) - 1
    return "".join(STEPS[(value - low) * steps // max(1, high - low)] for value in values)


def in_credits(micros: int, *, decimals: int = 6) -> str:
    """An amount in credits; with fewer than six decimals the rest is cut off."""
    whole, rest = divmod(micros, MICROS_PER_CREDIT)
    return f"{whole:,}.{f'{rest:06}'[:decimals]}"
