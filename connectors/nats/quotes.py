"""The quotes of prices in the logs: which is the last of a resource, and how a new one gets there.

Promise: a quote enters the log once, and behind the last one that its sender knows: the server
refuses it where somebody quoted meanwhile, and then only a newer one is published. Its id could be
foreseen, so it is no message id, which anybody could take first (SEMANTICS §10); the expected
sequence stands in its place.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import BadRequestError
from pydantic import ValidationError

from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.commands import refusal
from connectors.nats.connection import OUTAGE_LIMIT_S, Retry, connected, translate_errors
from connectors.nats.last_by_subject import LastMessage, last_message
from connectors.nats.publisher import Publisher, is_behind
from connectors.nats.subjects import stored_subject, stream_name
from state.dedupe import NS_PER_MS
from state.window import OutboundMessage
from walras_client.nats.connection import Connection
from walras_schemas import CLOCK_SKEW_MS, PriceQuoted, subjects, uuid7_ms


@dataclass(frozen=True, slots=True)
class LastQuote:
    """The last message on the subject of a resource; an id of "" where it is not a quote."""

    seq: int
    event_id: str


class QuoteLog:
    """Reads and writes the quotes of all shards."""

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._publisher = Publisher(nc)
        self._shards: dict[str, int] = {}
        self._last: dict[str, LastQuote] = {}
        """Subject to the last quote, where it is known."""

    def latest(self, shard: int, market: str, resources: Iterable[str]) -> dict[str, str]:
        """Resource to the id of its latest quote in the log of the shard, asked of the log itself.

        The ledger knows a quote only a window later.
        """
        self._shards[market] = shard
        subject_of = {name: subjects.price(market, name) for name in resources}
        with translate_errors("NATS did not show the latest quotes of a log", of=market):
            run_sync(self._read(market, subject_of.values()))
        ids = {name: self._last[subject].event_id for name, subject in subject_of.items()}
        return {name: event_id for name, event_id in ids.items() if event_id}

    def publish(self, market: str, quotes: Sequence[OutboundMessage]) -> None:
        """Return when the log has each quote of the market or a newer one; `latest` comes first."""
        run_sync(self._publish(market, quotes))

    async def _read(self, market: str, of: Iterable[str]) -> None:
        await asyncio.gather(*(self._read_one(market, subject) for subject in of))

    async def _read_one(self, market: str, subject: str) -> LastQuote:
        shard = self._shards[market]
        stored = stored_subject(subject, shard=shard)
        found = await last_message(self._nc, stream_name(shard), stored)
        last = self._last[subject] = LastQuote(found.seq, _id_of(found))
        return last

    async def _publish(self, market: str, quotes: Sequence[OutboundMessage]) -> None:
        retry = Retry(
            "quotes cannot be published",
            hint="Check that nats-server runs; prices stay as they are meanwhile",
            limit_s=OUTAGE_LIMIT_S,
        )
        await asyncio.gather(*(self._publish_one(market, quote, retry) for quote in quotes))
        retry.reset()

    async def _publish_one(self, market: str, quote: OutboundMessage, retry: Retry) -> None:
        while True:
            try:
                return await self._nc.until_disconnected(self._append(market, quote))
            except NatsError as failure:
                # Whether it is in the log, or what else, is read from there.
                self._last.pop(quote.subject, None)
                if is_behind(failure):
                    continue
                if isinstance(failure, MaxPayloadError | BadRequestError):
                    raise refusal(quote.subject, failure) from failure
                await retry.wait(failure)

    async def _append(self, market: str, quote: OutboundMessage) -> None:
        last = self._last.get(quote.subject) or await self._read_one(market, quote.subject)
        if quote.msg_id > last.event_id:
            ack = await self._publisher.publish_after(
                quote.subject, quote.payload, last_seq=last.seq
            )
            self._last[quote.subject] = LastQuote(ack.seq, quote.msg_id)


@contextmanager
def open_quotes(url: str) -> Iterator[QuoteLog]:
    """The quotes for as long as the pricing flow runs, over a connection of their own."""
    with open_on_loop(connected(url, name="walras quotes")) as nc:
        yield QuoteLog(nc)


def _id_of(last: LastMessage) -> str:
    """The id of a quote; "" of what is not one or has an id from the future: the market refuses it.

    Such an id would otherwise pass for a newer quote for as long as nobody comes up with a later.
    """
    try:
        event_id = PriceQuoted.model_validate_json(last.payload).event_id.lower()
    except ValidationError:
        return ""
    is_future = uuid7_ms(event_id) * NS_PER_MS > last.time_ns + CLOCK_SKEW_MS * NS_PER_MS
    return "" if is_future else event_id
