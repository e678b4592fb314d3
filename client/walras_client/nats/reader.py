"""One subject of the stream of results, read from a sequence on, in order.

An ephemeral consumer in the server's memory delivers and nothing is acknowledged: the reader knows
where it stands. Promise: each message comes once, in the order of the sequences; whatever could
have lost one ends the reading (`Interrupted`), and a new one goes on where this one stood.
"""

import asyncio
import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.js.errors import APIError

from walras_client.nats.connection import Link

STREAM: Final = "RESULTS"
BATCH: Final = 64
NS_PER_S: Final = 1_000_000_000
EXPIRES_S: Final = 30
HEARTBEAT_S: Final = 5
SILENCE_S: Final = 12.0
FORGET_AFTER_S: Final = 60

HEARTBEAT: Final = "100"
NO_MESSAGE: Final = 10037
NOTHING_LEFT: Final = ("404", "408")


class Interrupted(NatsError):
    """The connection was lost, or the server ended the delivery or left out a message."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the stream of results holds at a moment."""

    created: str
    """When the stream was made; one that was made again counts from 1 again."""
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message and its sequence in the stream."""

    seq: int
    payload: bytes


async def read_kept(link: Link) -> Kept:
    """What the stream of results holds now."""
    info = await link.ask(f"STREAM.INFO.{STREAM}")
    state = info["state"]
    return Kept(info["created"], first_seq=state["first_seq"], last_seq=state["last_seq"])


async def read_last(link: Link, subject: str) -> bytes | None:
    """The last message on the subject that the stream of results holds now."""
    try:
        found = await link.ask(f"STREAM.MSG.GET.{STREAM}", {"last_by_subj": subject})
    except APIError as refusal:
        if refusal.err_code == NO_MESSAGE:
            return None
        raise
    return b64decode(found["message"]["data"])


class Tail:
    """A consumer of one subject; made by `open_tail`."""

    def __init__(self, link: Link, consumer: str) -> None:
        self._link = link
        self._consumer = consumer
        self._inbox = link.nc.new_inbox()
        self._subscription: Subscription | None = None
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()
        self._delivered = 0
        self._to_come = 0

    @property
    def is_pulling(self) -> bool:
        """Whether the server still owes something: messages, or word that nothing is left."""
        return self._to_come > 0

    async def open(self) -> None:
        """Listen for what will be delivered."""
        self._subscription = await self._link.nc.subscribe(self._inbox, cb=self._arrived.put)
        self._link.watch(self._interrupt)

    async def close(self) -> None:
        """Listen no longer; a consumer that the server is not told to drop, it forgets in time."""
        self._link.unwatch(self._interrupt)
        nc = self._link.nc
        if self._subscription and not nc.is_closed:
            await self._subscription.unsubscribe()
        if nc.is_connected:
            dropped = f"$JS.API.CONSUMER.DELETE.{STREAM}.{self._consumer}"
            await nc.publish(dropped, reply=self._inbox)

    async def pull(self) -> None:
        """Ask for the next messages, those that will come within a while included."""
        self._to_come = BATCH
        request = {
            "batch": BATCH,
            "expires": EXPIRES_S * NS_PER_S,
            "idle_heartbeat": HEARTBEAT_S * NS_PER_S,
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._consumer}"
        await self._link.nc.publish(subject, json.dumps(request).encode(), reply=self._inbox)

    async def next(self) -> Delivery | None:
        """The next message, as soon as there is one; None when nothing was left for a while."""
        while True:
            async with asyncio.timeout(SILENCE_S):
                msg = await self._arrived.get()
            if msg is None:
                raise Interrupted("the connection was lost")
            if msg.reply:
                return self._accept(msg)
            code = (msg.headers or {}).get(Header.STATUS)
            if code in NOTHING_LEFT:
                self._to_come = 0
                return None
            if code != HEARTBEAT:
                raise Interrupted(f"the server ended the delivery: {msg.headers}")

    def _accept(self, msg: Msg) -> Delivery:
        place = msg.metadata.sequence
        if place.consumer != self._delivered + 1:
            raise Interrupted(f"delivery {self._delivered + 1} did not arrive")
        self._delivered = place.consumer
        self._to_come -= 1
        return Delivery(seq=place.stream, payload=msg.data)

    def _interrupt(self) -> None:
        self._arrived.put_nowait(None)


async def open_tail(link: Link, subject: str, *, next_seq: int) -> Tail:
    """Read the subject from `next_seq` (next to read) on."""
    content = {"stream_name": STREAM, "config": _consumer_of(subject, next_seq)}
    made = await link.ask(f"CONSUMER.CREATE.{STREAM}", content)
    tail = Tail(link, made["name"])
    await tail.open()
    return tail


def _consumer_of(subject: str, next_seq: int) -> dict[str, Any]:
    return {
        "filter_subject": subject,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": next_seq,
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": FORGET_AFTER_S * NS_PER_S,
    }
