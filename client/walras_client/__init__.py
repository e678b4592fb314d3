"""The agent's side of a Walras market: a small async client on nats-py and the event registry.

Whatever is exported here is a promise to the agents that build on it; everything else may move.
"""

from walras_client.client import BidId, WalrasClient
from walras_client.errors import (
    ClientError,
    LogFull,
    OutcomeTimeout,
    QueryRefused,
    ResultsLost,
    SubmitError,
    Unacknowledged,
    Unavailable,
)
from walras_client.ids import new_event_id
from walras_client.nats.publisher import PubAck
from walras_client.outcomes import Outcome
from walras_client.results import Results
from walras_client.subscription import Cursor, Subscription

__all__ = [
    "BidId",
    "ClientError",
    "Cursor",
    "LogFull",
    "Outcome",
    "OutcomeTimeout",
    "PubAck",
    "QueryRefused",
    "Results",
    "ResultsLost",
    "SubmitError",
    "Subscription",
    "Unacknowledged",
    "Unavailable",
    "WalrasClient",
    "new_event_id",
]
