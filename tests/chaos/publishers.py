"""Publishers that send through everything, and know of each message whether it was acknowledged.

Promise: what was acknowledged is written down with the sequence that the log gave it. What was not
is unknown: it may be in the log or not; it is sent again under the same id, with growing waits,
until its publisher gives up.
"""

import asyncio
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Self

from connectors.nats.background_loop import submit
from connectors.nats.topology import DEDUPE_S
from tests.chaos.trading import Message, Trader
from walras_client.backoff import Backoff
from walras_client.nats.connection import Connection, closing, connect
from walras_client.nats.errors import RETRYABLE, retries, wait_before_retry
from walras_client.nats.publisher import ATTEMPT_S, MSG_ID, read_ack

PUBLISHERS: Final = 3
PACE_S: Final = 0.5
"""From the beginning of one round to that of the next, when nothing is in the way."""
PATIENCE_S: Final = (1.0, 5.0, 60.0)
LAST_S: Final = 90.0
REMEMBERED_S: Final = DEDUPE_S - 10.0
"""How long a broker knows an id again, with some room for what is under way."""


def fingerprint(subject: str, payload: bytes) -> bytes:
    """What is compared of a message; equal for equal ones."""
    return sha256(subject.encode() + b"\n" + payload).digest()


@dataclass(slots=True)
class Tally:
    """What became of all that was sent."""

    acknowledged: dict[int, bytes] = field(default_factory=dict)
    """Sequence to the fingerprint of the message that was acknowledged with it."""
    contradictions: list[str] = field(default_factory=list)
    sent: int = 0
    unknown: int = 0
    """Never acknowledged: they are in the log, or not."""
    acknowledgements: int = 0
    _first: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Message id to the sequence and the time of its first acknowledgement."""

    def acknowledge(self, message: Message, seq: int, *, at_s: float) -> None:
        """The log says that the message has this sequence, now or since it was sent before."""
        self.acknowledgements += 1
        print_of = fingerprint(message.subject, message.payload)
        if self.acknowledged.setdefault(seq, print_of) != print_of:
            self.contradictions.append(f"sequence {seq} was given to two different messages")
        first_seq, first_s = self._first.setdefault(message.msg_id, (seq, at_s))
        if first_seq != seq and at_s - first_s < REMEMBERED_S:
            self.contradictions.append(f"sequence {seq} is that of {first_seq} once more")


class Publishers:
    """All of them, until they are stopped."""

    def __init__(self, url: str, seed: int) -> None:
        self.tally = Tally()
        self._url = url
        self._traders = [Trader(seed, number) for number in range(PUBLISHERS)]
        self._over = threading.Event()
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        """Open the markets, then let all trade."""
        opening = submit(self._open(self._traders[0].opening()))
        opening.result(LAST_S)
        self._running = [submit(self._publish(trader)) for trader in self._traders]
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._running:
            running.cancel()

    def stop(self) -> None:
        """Let all finish what they are at."""
        self._over.set()
        for running in self._running:
            running.result(LAST_S)

    async def _open(self, messages: Iterable[Message]) -> None:
        async with closing(await connect(self._url, name="chaos opening")) as nc:
            for message in messages:
                await self._send(nc, message, max(PATIENCE_S))

    async def _publish(self, trader: Trader) -> None:
        async with closing(await connect(self._url, name="chaos publisher")) as nc:
            while not self._over.is_set():
                pace = asyncio.create_task(asyncio.sleep(PACE_S))
                await asyncio.gather(
                    *(
                        self._send(nc, message, trader.chance.choice(PATIENCE_S))
                        for message in trader.round()
                    )
                )
                await pace

    async def _send(self, nc: Connection, message: Message, retry_timeout_s: float) -> None:
        self.tally.sent += 1
        backoff = retries(retry_timeout_s)
        headers = {MSG_ID: message.msg_id}
        try:
            while (ack := await _attempt(nc, message, headers, backoff)) is None:
                pass
        except RETRYABLE:
            self.tally.unknown += 1
        else:
            self.tally.acknowledge(message, ack, at_s=time.monotonic())


async def _attempt(
    nc: Connection, message: Message, headers: dict[str, str], backoff: Backoff
) -> int | None:
    """The sequence in the log; None when one may try again, raised at the limit."""
    try:
        ack = await nc.request_reply(
            message.subject, message.payload, headers=headers, timeout_s=ATTEMPT_S
        )
        return read_ack(ack).seq
    except RETRYABLE as error:
        await wait_before_retry(backoff, error)
        return None
