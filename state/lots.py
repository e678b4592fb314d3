"""What was won and can be spent: lots, the holds that draw on them, and the meters that hold.

Promise: `units = free + held + used` of every lot at every moment, each at least 0, so nothing is
spent twice; expired is what is free when the lot's time is past. Quantities are units of the
resource. The rules are those of SEMANTICS §11 and §12; `operators/meter.py` applies them.
"""

from bisect import insort
from dataclasses import dataclass, field
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final
from zlib import crc32

_window_of: Final = attrgetter("window_id")


@dataclass(slots=True, eq=False)
class Lot:
    """What an agent won of a metered resource in one window."""

    agent: str
    resource: str
    window_id: int
    """The window in which it was won."""
    last_window: int
    """The last window of its meter in which it may be drawn on."""
    units: int
    free: int
    """Neither used nor held."""
    held: int = 0
    used: int = 0
    overdrawn: int = 0
    """Used beyond a hold whose last draw was on this lot: counted, drawn from no lot."""
    lapsed: bool = False
    """Whether `lag_windows` have ended its time, whatever the meter's window."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Units set aside for one call, by the lots that they are drawn from, the oldest first."""

    epoch: int
    n: int
    agent: str
    resource: str
    quantity: int
    window_id: int
    """The window that the hold named."""
    seq: int
    time_ns: int
    draws: tuple[tuple[Lot, int], ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """A hold that has ended: by its settlement, or by the opening of the meter's next epoch."""

    hold: Hold
    seq: int
    time_ns: int
    used: int
    """As reported: it may be above the hold."""
    outcome: str


@dataclass(slots=True, eq=False)
class Meter:
    """One chain of holds and settlements, and the lots that only it may spend."""

    epoch: int = 0
    """0 before it was first opened."""
    next_n: int = 1
    """Of the next hold."""
    window_id: int = 0
    """The latest window that a hold named, by which lots expire."""
    holds: dict[int, Hold] = field(default_factory=dict)
    """By n: those that are open, all of this epoch."""
    free: dict[tuple[str, str], list[Lot]] = field(default_factory=dict)
    """Agent and resource to the lots that may be drawn on and have free units, the oldest first."""
    by_last: dict[int, list[Lot]] = field(default_factory=dict)
    """Last window to the lots whose time is not past, whatever remains of them."""
    lasts: list[int] = field(default_factory=list)
    """The keys of `by_last`, as a heap."""

    def add(self, lot: Lot) -> None:
        """Take in a lot of an agent of this meter; one whose time is past is left out."""
        if lot.last_window < self.window_id or lot.lapsed:
            return
        if lot.last_window not in self.by_last:
            heappush(self.lasts, lot.last_window)
            self.by_last[lot.last_window] = []
        self.by_last[lot.last_window].append(lot)
        if lot.free:
            self.offer(lot)

    def offer(self, lot: Lot) -> None:
        """Let holds draw on a lot that had no free units before."""
        lots = self.free.setdefault((lot.agent, lot.resource), [])
        insort(lots, lot, key=_window_of)

    def expire(self, before: int) -> list[Lot]:
        """Take out, and give, the lots whose last window is below `before`."""
        past: list[Lot] = []
        while self.lasts and self.lasts[0] < before:
            past += self.by_last.pop(heappop(self.lasts))
        for lot in past:
            if lot.free:
                lots = self.free[lot.agent, lot.resource]
                lots.remove(lot)
                if not lots:
                    del self.free[lot.agent, lot.resource]
        return past


@dataclass(slots=True, eq=False)
class MarketMeters:
    """The meters of one market, from its first opening on."""

    lag_windows: int
    count: int
    """How many meters it has, numbered from 0."""
    metered: set[str] = field(default_factory=set)
    """Resources that any applied opening listed with an allowance."""
    opened: dict[int, Meter] = field(default_factory=dict)
    """By number: those that were opened at least once."""

    def number_of(self, agent: str) -> int:
        """The meter that spends an agent's lots."""
        return crc32(agent.encode()) % self.count


@dataclass(slots=True)
class MeteredWindow:
    """What meters did in the open window, each kind in the order of the log."""

    touched: set[tuple[str, int]] = field(default_factory=set)
    """Market and number of the opened meters that sent anything."""
    held: list[tuple[str, int, Hold]] = field(default_factory=list)
    ended: list[tuple[str, int, Usage]] = field(default_factory=list)
    listed: list[tuple[str, str]] = field(default_factory=list)
    """Market and resource that openings listed with an allowance for the first time."""
