"""The latest message on each of many subjects of a stream, asked for at once.

Promise: a subject that is missing from the answer has no message there. Source: NATS ADR-31, batch
requests to the direct get API.
"""

from collections.abc import Sequence

import msgspec
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js.api import Header

from connectors.nats.jetstream import API_DEADLINE_S
from connectors.nats.reader import Interrupted

SUBJECTS_MAX = 1000
"""In one question; the server answers at most 1024."""
NOTHING = "404"
END = "204"
LEFT = "Nats-Num-Pending"
SUBJECT = "Nats-Subject"


async def latest(nc: Client, stream: str, subjects: Sequence[str]) -> dict[str, bytes]:
    """Subject to the payload of the latest message on it."""
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
    found: dict[str, bytes] = {}
    try:
        for at in range(0, len(subjects), SUBJECTS_MAX):
            asked = subjects[at : at + SUBJECTS_MAX]
            # An answer may end before it is complete, where the messages are large.
            while asked:
                question = msgspec.json.encode({"multi_last": asked})
                await nc.publish(f"$JS.API.DIRECT.GET.{stream}", question, reply=inbox)
                complete = await _take(subscription, found)
                asked = [] if complete else [each for each in asked if each not in found]
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()
    return found


async def _take(subscription: Subscription, found: dict[str, bytes]) -> bool:
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
