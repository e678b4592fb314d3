r"""The values a market speaks in: names, event ids, amounts and quantities, with their limits.

A pattern means the whole text, as JSON Schema and pydantic read it. Python's own `$` also matches
before a trailing newline, so in Python use `fullmatch` with these patterns, or end them in `\Z`.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

NAME_PATTERN: Final = "^[a-z0-9][a-z0-9_-]{0,63}$"
# UUIDv7: the version nibble is 7, the variant bits are 10 (8, 9, a or b).
EVENT_ID_PATTERN: Final = (
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-7[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
)
# RFC 3339. It knows no calendar (31 February passes): the time a sender writes decides nothing.
TIMESTAMP_PATTERN: Final = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
DIGEST_PATTERN: Final = "^[0-9a-f]{64}$"

MICROS_PER_CREDIT: Final = 1_000_000
AMOUNT_MAX: Final = 10**15
QUANTITY_MAX: Final = 10**12
RATIO_MAX_PPM: Final = 10**9
INT64_MAX: Final = 2**63 - 1

BATCH_MAX: Final = 1000
BUNDLE_MAX: Final = 16
PAYLOAD_MAX_BYTES: Final = 1_048_576
PURPOSE_MAX: Final = 200
RESOURCES_MAX: Final = 256
COMMANDS_MAX: Final = 10**6
"""The most that a market may allow each agent to send in a window."""
WINDOWS_MAX: Final = 10**6
"""The longest that an allowance may last, and that a meter may lag, in windows."""
LAG_MIN: Final = 10
METERS_MAX: Final = 64

DEDUPE_HORIZON_MS: Final = 60_000
CLOCK_SKEW_MS: Final = 5_000

TREASURY: Final = "treasury"
HOUSE: Final = "house"
RESERVED_ACCOUNTS: Final = frozenset({TREASURY, HOUSE})

_NAME: Final = re.compile(NAME_PATTERN)


def is_name(text: str) -> bool:
    """Whether the text may name a market, an agent or a resource."""
    return _NAME.fullmatch(text) is not None


def is_agent_name(text: str) -> bool:
    """Whether the text may name an agent: a name that is no account of the market's own."""
    return is_name(text) and text not in RESERVED_ACCOUNTS


def _not_reserved(name: str) -> str:
    if name in RESERVED_ACCOUNTS:
        raise ValueError(f"{name} is an account of the market itself, not an agent")
    return name


Name = Annotated[str, Field(strict=True, pattern=NAME_PATTERN)]
AgentName = Annotated[
    Name,
    AfterValidator(_not_reserved),
    Field(json_schema_extra={"not": {"enum": [*sorted(RESERVED_ACCOUNTS)]}}),
]
EventId = Annotated[str, Field(strict=True, pattern=EVENT_ID_PATTERN)]
Timestamp = Annotated[str, Field(strict=True, pattern=TIMESTAMP_PATTERN)]
Digest = Annotated[str, Field(strict=True, pattern=DIGEST_PATTERN)]
Amount = Annotated[int, Field(strict=True, ge=1, le=AMOUNT_MAX)]
Price = Annotated[int, Field(strict=True, ge=1, le=AMOUNT_MAX)]
Quantity = Annotated[int, Field(strict=True, ge=1, le=QUANTITY_MAX)]
Supply = Annotated[int, Field(strict=True, ge=0, le=QUANTITY_MAX)]
Used = Annotated[int, Field(strict=True, ge=0, le=QUANTITY_MAX)]
Reserve = Annotated[int, Field(strict=True, ge=0, le=AMOUNT_MAX)]
MaxCommands = Annotated[int, Field(strict=True, ge=1, le=COMMANDS_MAX)]
AllowanceWindows = Annotated[int, Field(strict=True, ge=0, le=WINDOWS_MAX)]
LagWindows = Annotated[int, Field(strict=True, ge=LAG_MIN, le=WINDOWS_MAX)]
Meters = Annotated[int, Field(strict=True, ge=1, le=METERS_MAX)]
RatioPpm = Annotated[int, Field(strict=True, ge=0, le=RATIO_MAX_PPM)]
# Postgres holds every text but the one with U+0000 in it.
Purpose = Annotated[str, Field(strict=True, max_length=PURPOSE_MAX, pattern="^[^\\x00]*$")]
# Not a Literal: a Literal of 1 is satisfied by `true` and `1.0`, which are not the integer 1.
Version = Annotated[int, Field(strict=True, ge=1, le=1, json_schema_extra={"const": 1})]
# What the market counts itself: never negative, and it fits the ledger's columns.
Count = Annotated[int, Field(strict=True, ge=0, le=INT64_MAX)]
PositiveCount = Annotated[int, Field(strict=True, ge=1, le=INT64_MAX)]
