"""The last quote of each resource, as the log of its shard has it.

Promise: the log is asked itself, not the ledger, which knows a quote only a window later.
"""

import asyncio
from collections.abc import Iterable

from pydantic import ValidationError

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import translate_errors
from connectors.nats.subjects import stored_subject, stream_name
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import last_message
from walras_schemas import PriceQuoted, subjects


def latest_quotes(
    nc: Connection, shard: int, market: str, resources: Iterable[str]
) -> dict[str, str]:
    """Resource to the id of its latest quote in the log of the shard."""
    names = list(resources)
    with translate_errors("NATS did not show the latest quotes of a log", of=market):
        payloads = run_sync(_last_messages(nc, shard, [subjects.price(market, n) for n in names]))
    quoted = {name: _id_of(payload) for name, payload in zip(names, payloads, strict=True)}
    return {name: event_id for name, event_id in quoted.items() if event_id is not None}


async def _last_messages(nc: Connection, shard: int, public: list[str]) -> list[bytes | None]:
    stored = [stored_subject(subject, shard=shard) for subject in public]
    return await asyncio.gather(*(last_message(nc, stream_name(shard), each) for each in stored))


def _id_of(payload: bytes | None) -> str | None:
    """The id of a quote; None of what is none, which the market makes a dead letter too."""
    try:
        return None if payload is None else PriceQuoted.model_validate_json(payload).event_id
    except ValidationError:
        return None
