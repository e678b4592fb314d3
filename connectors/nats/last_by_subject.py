"""The last message by subject of a stream, asked for many subjects at once, and the last quotes.

Promise: a subject that is missing from the answer has no message there; of quotes the log is asked
itself, not the ledger, which knows a quote only a window later. Source: NATS ADR-31, batch requests
to the direct get API.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js.api import Header
from pydantic import ValidationError

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import translate_errors
from connectors.nats.subjects import stored_subject, stream_name
from walras_client.nats.errors import Interrupted
from walras_client.nats.jetstream import API_DEADLINE_S
from walras_schemas import PriceQuoted, subjects

SUBJECTS_MAX: Final = 1000
"""In one question; the server answers at most 1024."""
NOTHING: Final = "404"
END: Final = "204"
LEFT: Final = "Nats-Num-Pending"
SUBJECT: Final = "Nats-Subject"


async def last_by_subject(nc: Client, stream: str, subjects: Sequence[str]) -> dict[str, bytes]:
    """Subject to the payload of the last message on it."""
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
    found: dict[str, bytes] = {}
    try:
        for at in range(0, len(subjects), SUBJECTS_MAX):
            asked = subjects[at : at + SUBJECTS_MAX]
            # An answer may end before it is complete, where the messages are large.
            while asked:
                question = json.dumps({"multi_last": asked}).encode()
                await nc.publish(f"$JS.API.DIRECT.GET.{stream}", question, reply=inbox)
                complete = await _collect(subscription, found)
                asked = [] if complete else [each for each in asked if each not in found]
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()
    return found


async def _collect(subscription: Subscription, found: dict[str, bytes]) -> bool:
    """Add what comes; whether it is all there is."""
    while True:
        msg = await subscription.next_msg(timeout=API_DEADLINE_S)
        headers = msg.headers or {}
        status = headers.get(Header.STATUS)
        if status is None:
            found[headers[SUBJECT]] = msg.data
        elif status in {NOTHING, END}:
            return headers.get(LEFT, "0") == "0"
        else:
            raise Interrupted(f"{status} {headers.get(Header.DESCRIPTION, '')}")


def latest_quotes(nc: Client, shard: int, market: str, resources: Iterable[str]) -> dict[str, str]:
    """Resource to the id of its latest quote in the log of the shard."""
    stored = {stored_subject(subjects.price(market, name), shard=shard): name for name in resources}
    with translate_errors("NATS did not show the latest quotes of a log", of=market):
        found = run_sync(last_by_subject(nc, stream_name(shard), list(stored)))
    quoted = {stored[subject]: _id_of(payload) for subject, payload in found.items()}
    return {name: event_id for name, event_id in quoted.items() if event_id is not None}


def _id_of(payload: bytes) -> str | None:
    """The id of a quote; None of what is none, which the market makes a dead letter too."""
    try:
        return PriceQuoted.model_validate_json(payload).event_id
    except ValidationError:
        return None
