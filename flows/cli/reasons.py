"""Why a market refuses a command, for the person who typed it."""

from collections.abc import Mapping
from typing import Final

BECAUSE: Final[Mapping[str, str]] = {
    "malformed": "it is not a command that a market knows",
    "unknown_market": "no market of that name was ever opened",
    "market_closed": "the market is closed",
    "over_quota": "its agent has sent as many commands in this window as the market allows",
    "stale_event_id": "its id is more than a minute older than the log's clock",
    "future_event_id": "its id is more than five seconds ahead of the log's clock",
    "duplicate": "its sender has used the same id before",
    "not_open": "the window of the bid to withdraw had closed",
    "unknown_agent": "the agent was never granted credits",
    "self_transfer": "sender and recipient are the same agent",
    "unknown_resource": "the market has no such resource",
    "unsupported_by_rule": "the market's rule takes no bids of that form",
    "exceeds_supply": "it asked for more than the supply",
    "below_reserve": "it offered less than the reserve",
    "amount_overflow": "quantity times price exceeds what the market can count",
    "insufficient_balance": "free credits do not cover it",
    "unknown_meter": "the market has no such meter",
    "stale_epoch": "its meter has started again since",
    "out_of_order": "its meter's holds come in another order",
    "future_window": "it names a window that has not begun",
    "stale_window": "it names a window that is too long ago",
    "insufficient_allowance": "the agent has not won that many units",
    "not_held": "it settles a hold that is not open",
}

HINTS: Final[Mapping[str, str]] = {
    "unknown_market": "Open it with `walras market open FILE --market {market}`",
    "market_closed": "`walras market open FILE --market {market}` opens it again",
    "over_quota": "Try again in the next window",
    "stale_event_id": "Compare the clock of this machine with that of the NATS server",
    "future_event_id": "Compare the clock of this machine with that of the NATS server",
    "unknown_agent": "Give it some with `walras grant {market} {agent} CREDITS`",
    "unknown_resource": "`walras prices {market}` lists the resources",
    "unsupported_by_rule": "Bid for one unit of one resource, or open the market with another rule",
    "exceeds_supply": "`walras prices {market}` shows the supply",
    "below_reserve": "`walras prices {market}` shows the reserve price",
    "insufficient_balance": "`walras balance {market} {agent}` shows what it owns; its open bids "
    "hold a part",
}
ANY_HINT: Final = "Nothing was changed: correct it and send it again"
