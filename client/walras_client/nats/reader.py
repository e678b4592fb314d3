"""A stream, or one subject of it, read in order from a sequence on, by long pull requests.

An ephemeral consumer in the server's memory delivers and nothing is acknowledged: the reader knows
where it stands. Promise: each message comes once, in the order of the sequences; whatever could
have lost one ends the reading (`Interrupted`), and a new reader resumes where this one stood.
nats-py's own `fetch` gives a quarter of this speed.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NamedTuple, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from walras_client.nats.connection import Connection
from walras_client.nats.errors import Interrupted
from walras_client.nats.jetstream import NS_PER_S, ask
from walras_client.nats.wire import Frame

# How the subject that a message is to be acknowledged to is built: `$JS.ACK.<stream>.<consumer>.
# <deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`, newer servers may put the domain and
# the account before the stream, and a random token at the end.
SHORT_ACK_TOKENS: Final = 9
SHORT_ACK_SEQ: Final = 5
LONG_ACK_SEQ: Final = 7

HEARTBEAT: Final = "100"
NOTHING_LEFT: Final = {"404", "408"}
FULL: Final = {"Message Size Exceeds MaxBytes", "Batch Completed"}


class Delivery(NamedTuple):
    """A message of a stream."""

    seq: int
    timestamp_ns: int
    """When the server took it."""
    subject: bytes
    payload: bytes
    head: bytes

    @property
    def headers(self) -> dict[str, str]:
        """Its headers, read when somebody asks for them."""
        return Client._parse_header_lines(self.head) if self.head else {}  # noqa: SLF001


@dataclass(slots=True)  # not frozen: that would double the cost of making it
class Deliveries:
    """Messages of a stream that came together, in order; a column of each part."""

    seqs: Sequence[int]
    timestamps_ns: Sequence[int]
    subjects: Sequence[bytes]
    payloads: Sequence[bytes]
    heads: Sequence[bytes]

    def __iter__(self) -> Iterator[Delivery]:
        """One by one."""
        columns = (self.seqs, self.timestamps_ns, self.subjects, self.payloads, self.heads)
        return map(Delivery, *columns)

    def first(self, count: int) -> "Deliveries":
        """The first so many of them."""
        return Deliveries(
            self.seqs[:count],
            self.timestamps_ns[:count],
            self.subjects[:count],
            self.payloads[:count],
            self.heads[:count],
        )


class SequenceGap(Exception):
    """The stream does not hold what was next to read any more."""

    def __init__(self, *, next_seq: int, found_seq: int) -> None:
        super().__init__(next_seq, found_seq)
        self.next_seq = next_seq
        self.found_seq = found_seq


OnMessages = Callable[[Deliveries], None]
"""What it raises ends the reading, and is raised to whoever waits."""


@dataclass(frozen=True, slots=True)
class PullTiming:
    """How long a pull request lasts, and how soon a silent server is noticed."""

    expires_s: int
    heartbeat_s: int
    silence_s: float
    """Without a message or a heartbeat the reading ends; longer than `heartbeat_s`."""
    forget_after_s: int
    """After so long without a request the server forgets the consumer."""


@dataclass(frozen=True, slots=True)
class ReadPosition:
    """What to read, and from where on."""

    stream: str
    next_seq: int
    """Next to read."""
    subject: str | None = None
    """None for the whole stream: then every sequence must come, or it is a `SequenceGap`."""


class StreamReader:
    """A consumer of one stream; what it delivers goes to `on_messages`."""

    def __init__(
        self, nc: Connection, at: ReadPosition, *, on_messages: OnMessages, timing: PullTiming
    ) -> None:
        self.next_seq = at.next_seq
        """Next to read."""
        self._nc = nc
        self._stream = at.stream
        self._subject = at.subject
        self._on_messages = on_messages
        self._timing = timing
        self._inbox = nc.new_inbox()
        self._numbers = count(1)
        self._request = ""
        """Where the last request has its statuses sent; those of an older one may come late."""
        self._consumer = ""
        self._subscription: Subscription | None = None
        self._direct = ExitStack()
        self._delivered = 0
        self._last_asked_for = 0
        """The delivery that the request ends with."""
        self._statuses = 0
        self._failure: Exception | None = None
        self._arrived = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()

    @property
    def is_pulling(self) -> bool:
        """Whether the server still owes something: messages, or word that nothing is left."""
        return not self._ended.is_set()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Make the consumer."""
        content = {"stream_name": self._stream, "config": self._config()}
        self._consumer = (await ask(self._nc, f"CONSUMER.CREATE.{self._stream}", content))["name"]
        self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_status)
        self._direct.enter_context(self._nc.deliver_direct(self._subscription, self._on_frames))

    async def close(self) -> None:
        """Listen no longer; a consumer that cannot be deleted now the server forgets in time."""
        self._direct.close()
        if self._subscription and not self._nc.is_closed:
            await self._subscription.unsubscribe()
        if self._consumer and self._nc.is_connected:
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._consumer}"
            await self._nc.publish(subject, reply=self._inbox)

    async def request(self, *, messages: int, max_bytes: int | None = None) -> None:
        """Ask for up to so much, that which will come within a while included."""
        self._request = f"{self._inbox}.{next(self._numbers)}"
        self._last_asked_for = self._delivered + messages
        if self._failure is None:
            self._ended.clear()
        request = {
            "batch": messages,
            "expires": self._timing.expires_s * NS_PER_S,
            "idle_heartbeat": self._timing.heartbeat_s * NS_PER_S,
        }
        if max_bytes is not None:
            request["max_bytes"] = max_bytes
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._nc.publish(subject, json.dumps(request).encode(), reply=self._request)

    def wait(self) -> Coroutine[Any, Any, None]:
        """Return once a message came or the request ended; raise what ended the reading."""
        # Cleared by the call, not by the coroutine: one that begins later would miss what came.
        if self.is_pulling:
            self._arrived.clear()
        return self._wait_for(self._arrived)

    async def pull(self, *, messages: int, max_bytes: int) -> None:
        """Take up to so much; return when it came, or when nothing more did for a while."""
        await self.request(messages=messages, max_bytes=max_bytes)
        await self._wait_for(self._ended)

    async def _wait_for(self, event: asyncio.Event) -> None:
        """Wait for as long as the server gives signs of life."""
        while not event.is_set():
            before = self._delivered, self._statuses
            try:
                async with asyncio.timeout(self._timing.silence_s):
                    await event.wait()
            except TimeoutError:
                if before == (self._delivered, self._statuses):
                    silent = f"{self._stream}: no message and no heartbeat"
                    raise Interrupted(silent) from None
        if self._failure is not None:
            raise self._failure

    def _on_frames(self, frames: Sequence[Frame]) -> None:
        try:
            self._accept(frames)
        except Exception as failure:  # noqa: BLE001 - it belongs to whoever waits
            self._end(failure)

    def _accept(self, frames: Sequence[Frame]) -> None:
        """Hand on what follows without a gap, and end the reading at one."""
        subjects, replies, payloads, heads = zip(*frames, strict=True)
        seqs, numbers, times_ns = _read_acks(replies)
        if self._subject is None:
            intact = _count_consecutive(seqs, self.next_seq)
        else:
            intact = _count_consecutive(list(map(int, numbers)), self._delivered + 1)
        if intact:
            messages = Deliveries(seqs, times_ns, subjects, payloads, heads)
            self._on_messages(messages if intact == len(frames) else messages.first(intact))
            self.next_seq = seqs[intact - 1] + 1
            self._delivered += intact
            self._arrived.set()
        if intact < len(frames):
            self._end(self._loss_before(seqs[intact]))
        elif self._delivered == self._last_asked_for:
            self._end(None)

    def _loss_before(self, seq: int) -> Exception:
        if self._subject is None:
            return SequenceGap(next_seq=self.next_seq, found_seq=seq)
        return Interrupted(f"{self._stream}: a delivery did not arrive")

    async def _on_status(self, msg: Msg) -> None:
        """Take note of what the server says of the request itself."""
        self._statuses += 1
        status = msg.headers or {}
        code = status.get(Header.STATUS, "")
        reason = status.get(Header.DESCRIPTION, "")
        if msg.subject != self._request or code == HEARTBEAT:
            return
        if code in NOTHING_LEFT or reason in FULL:
            self._end(None)
        else:
            self._end(Interrupted(f"{self._stream}: {code} {reason}"))

    def _end(self, failure: Exception | None) -> None:
        # The first is the cause: what is delivered after it fails for want of what it lost.
        self._failure = self._failure or failure
        self._ended.set()
        self._arrived.set()

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.next_seq,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": self._timing.forget_after_s * NS_PER_S,
        }
        return config if self._subject is None else config | {"filter_subject": self._subject}


def _read_acks(
    replies: Sequence[bytes],
) -> tuple[Sequence[int], Sequence[bytes], Sequence[int]]:
    """Sequences in the stream, numbers among the deliveries as they are written, and times."""
    tokens = replies[0].count(b".") + 1
    behind = tokens - (SHORT_ACK_SEQ if tokens == SHORT_ACK_TOKENS else LONG_ACK_SEQ)
    ends = [reply.rsplit(b".", behind) for reply in replies]
    _, seqs, numbers, times_ns, *_ = zip(*ends, strict=True)
    return list(map(int, seqs)), numbers, list(map(int, times_ns))


def _count_consecutive(found: Sequence[int], first: int) -> int:
    """How many count up by one from `first` on."""
    due = range(first, first + len(found))
    if found == list(due):
        return len(found)
    return next(
        at for at, (one, expected) in enumerate(zip(found, due, strict=True)) if one != expected
    )
