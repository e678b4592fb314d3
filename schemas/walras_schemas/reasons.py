"""How a command ends, and why a market may refuse it.

The order of `RejectionReason` is the order of precedence of commands: of several reasons that hold,
the first one here is the one that is given. Events of meters have an order of their own,
`METER_PRECEDENCE`; what only they are refused for stands last, so that the codes in ledgers stay.
"""

from enum import StrEnum
from typing import Final


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

    UNKNOWN_METER = "unknown_meter"
    """The market has fewer meters."""

    STALE_EPOCH = "stale_epoch"
    """The epoch is not the meter's current one; of an opening: not the next one."""

    OUT_OF_ORDER = "out_of_order"
    """A hold whose number is not the next, or whose window is below the meter's."""

    FUTURE_WINDOW = "future_window"
    """A hold that names a window above that of its message."""

    STALE_WINDOW = "stale_window"
    """A hold that names a window more than `lag_windows` below that of its message."""

    INSUFFICIENT_ALLOWANCE = "insufficient_allowance"
    """The lots that a hold may draw on have less than its quantity."""

    NOT_HELD = "not_held"
    """A settlement of a hold that is not open in this epoch."""


METER_PRECEDENCE: Final = (
    RejectionReason.MALFORMED,
    RejectionReason.UNKNOWN_MARKET,
    RejectionReason.UNKNOWN_METER,
    RejectionReason.STALE_EPOCH,
    RejectionReason.OUT_OF_ORDER,
    RejectionReason.FUTURE_WINDOW,
    RejectionReason.STALE_WINDOW,
    RejectionReason.UNKNOWN_AGENT,
    RejectionReason.UNKNOWN_RESOURCE,
    RejectionReason.INSUFFICIENT_ALLOWANCE,
    RejectionReason.NOT_HELD,
)
"""Why an event of a meter is refused, in order of precedence."""


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
