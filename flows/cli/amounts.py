"""Amounts and bundles as people write them; the market counts micro-credits and whole units.

Promise: both ways are exact; text that is not a whole number of micro-credits is refused,
never rounded.
"""

import re
from decimal import Decimal
from typing import Final

from state.errors import SettingsError
from walras_schemas import MICROS_PER_CREDIT

DECIMALS: Final = 6
CREDITS: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})?")
MICROS: Final = re.compile(r"[0-9]{1,18}")
PART: Final = re.compile(r"([^=,]+)=([0-9]{1,18})")


def micros_of(text: str, *, name: str, in_micros: bool) -> int:
    """The amount that somebody typed as `name`, in micro-credits."""
    form = MICROS if in_micros else CREDITS
    if not form.fullmatch(text):
        unit = "whole micro-credits" if in_micros else f"credits with at most {DECIMALS} decimals"
        raise SettingsError(
            f"the {name} is not a valid amount",
            detail=f"{text!r} is not a number of {unit}",
            hint="Write 12.5 for credits, or 12500000 with --micros",
        )
    return int(text) if in_micros else int(Decimal(text) * MICROS_PER_CREDIT)


def parse_bundle(text: str) -> dict[str, int]:
    """The bundle that somebody typed: `tokens=500,cpu_ms=2000`."""
    parts = [PART.fullmatch(part.strip()) for part in text.split(",")]
    bundle = {part[1].strip(): int(part[2]) for part in parts if part}
    if len(bundle) != len(parts):
        raise SettingsError(
            "the bundle is not valid",
            detail=f"{text!r} is not a list of resources, each once and with its quantity",
            hint="Write it as tokens=500,cpu_ms=2000",
        )
    return bundle


def credits_text(micros: int) -> str:
    """The amount in credits, with the decimals that it needs."""
    whole, rest = divmod(abs(micros), MICROS_PER_CREDIT)
    decimals = f".{rest:0{DECIMALS}}".rstrip("0") if rest else ""
    return f"{'-' if micros < 0 else ''}{whole}{decimals}"
