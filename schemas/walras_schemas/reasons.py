"""How a command ends, and why a market may refuse it.

The order of `RejectionReason` is the order of precedence: of several reasons that hold, the first
one here is the one that is given.
"""

from enum import StrEnum


class RejectionReason(StrEnum):
    """Why a command was refused, in order of precedence."""

    MALFORMED = "malformed"
    """Not decodable as this registry says: it becomes a dead letter and is no bid at all."""

    UNKNOWN_MARKET = "unknown_market"
    """No applied `market_opened` precedes it."""

    MARKET_CLOSED = "market_closed"
    """The market is closed in this window."""

    OVER_QUOTA = "over_quota"
    """The agent has sent as many commands in this window as the market allows."""

    STALE_EVENT_ID = "stale_event_id"
    """The id's own time lies more than the dedupe horizon before the stream's time."""

    FUTURE_EVENT_ID = "future_event_id"
    """The id's own time lies more than the clock skew after the stream's time."""

    DUPLICATE = "duplicate"
    """The same sender already used this id in this market, in a command whose id was in time."""

    NOT_OPEN = "not_open"
    """A withdrawal names no bid of this agent's in the open window."""

    UNKNOWN_AGENT = "unknown_agent"
    """The agent has never received credits."""

    SELF_TRANSFER = "self_transfer"
    """A transfer names its sender as the recipient."""

    UNKNOWN_RESOURCE = "unknown_resource"
    """The market has no such resource in force."""

    UNSUPPORTED_BY_RULE = "unsupported_by_rule"
    """The form of the bid does not fit the market's rule."""

    EXCEEDS_SUPPLY = "exceeds_supply"
    """Some quantity is above the supply in force."""

    BELOW_RESERVE = "below_reserve"
    """The price of a unit bid, or the limit of a bundle, is below the reserve."""

    AMOUNT_OVERFLOW = "amount_overflow"
    """The hold does not fit in 64 bits."""

    INSUFFICIENT_BALANCE = "insufficient_balance"
    """The balance less the holds is smaller than the hold, or than the amount of the transfer."""


class BidStatus(StrEnum):
    """How a bid ended when its window closed."""

    REJECTED = "rejected"
    """It was never admitted; its reason says why."""

    WITHDRAWN = "withdrawn"
    """Its agent took it back while its window was open."""

    LOST = "lost"
    """It won no unit."""

    PARTIALLY_WON = "partially_won"
    """It won some of its units."""

    WON = "won"
    """It won all it asked for."""


class CommandStatus(StrEnum):
    """How a command other than a bid ended."""

    APPLIED = "applied"
    """It acted."""

    REJECTED = "rejected"
    """It did nothing; its reason says why."""
