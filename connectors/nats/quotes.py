"""Which quotes a log holds already, as whoever quotes after a restart has to know.

Promise: the log is asked itself, not the ledger, which hears of a quote a window later.
"""

from collections.abc import Iterable

from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import ValidationError

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import told
from connectors.nats.last_by_subject import latest
from connectors.nats.subjects import stored_subject, stream_name
from state.errors import ServerUnreachable
from walras_schemas import PriceQuoted, subjects


def latest_quotes(nc: Client, shard: int, market: str, resources: Iterable[str]) -> dict[str, str]:
    """Resource to the id of its latest quote in the log of the shard."""
    stored = {stored_subject(subjects.price(market, name), shard=shard): name for name in resources}
    try:
        found = wait_for(latest(nc, stream_name(shard), list(stored)))
    except NatsError as failure:
        raise ServerUnreachable(
            "NATS did not show the latest quotes of a log",
            detail=f"{market}: {told(failure)}",
            hint="Check that the server runs with JetStream and is not overloaded",
        ) from failure
    quoted = {stored[subject]: _id_of(payload) for subject, payload in found.items()}
    return {name: event_id for name, event_id in quoted.items() if event_id is not None}


def _id_of(payload: bytes) -> str | None:
    """The id of a quote; None of what is none, which the market buries too."""
    try:
        return PriceQuoted.model_validate_json(payload).event_id
    except ValidationError:
        return None
