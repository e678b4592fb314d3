"""The agent's side of a Walras market: a small async client on nats-py and the event registry.

Whatever is exported here is a promise to the agents that build on it; everything else may move.
"""

from walras_client.client import BidId, WalrasClient
from walras_client.errors import (
    ClientError,
    Denied,
    LogFull,
    OutcomeNotListed,
    OutcomeTimeout,
    QueryRefused,
    SubmitError,
    Unacknowledged,
    Unavailable,
)
from walras_client.ids import new_event_id
from walras_client.nats.publisher import PubAck
from walras_client.outcomes import Outcome
from walras_client.prices import PricesFeed
from walras_client.results import Cursor, Results

__all__ = [
    "BidId",
    "ClientError",
    "Cursor",
    "Denied",
    "LogFull",
    "Outcome",
    "OutcomeNotListed",
    "OutcomeTimeout",
    "PricesFeed",
    "PubAck",
    "QueryRefused",
    "Results",
    "SubmitError",
    "Unacknowledged",
    "Unavailable",
    "WalrasClient",
    "new_event_id",
]
