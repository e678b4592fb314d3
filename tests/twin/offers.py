"""The values that a window's clearing starts from: what is in force, and what is asked for.

Promise: plain numbers, as the log gave them; nothing here is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

Place = tuple[int, int]  # seq and ord
Vector = dict[str, int]  # units of each resource


@dataclass(frozen=True, slots=True)
class Terms:
    """What is in force for one resource during one window."""

    supply: int
    reference_micros: int
    reserve_micros: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """An admitted bid: its place in the log, what it asks, and the most it gives for all of it."""

    place: Place
    agent: str
    asked: Vector
    limit_micros: int
    min_quantity: int | None  # None: a bundle, all or nothing

    @property
    def unit_price_micros(self) -> int:
        """What a unit bid gives for each unit: its limit is quantity times this, with no rest."""
        [quantity] = self.asked.values()
        return self.limit_micros // quantity
