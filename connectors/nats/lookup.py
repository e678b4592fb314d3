"""Single messages of the log and of `WINDOWS`, looked up for the life of one bid.

Promise: read only, a few requests per lookup, whatever the streams hold.
"""

from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from nats.aio.client import Client
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError

from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected, translate_errors
from connectors.nats.subjects import WINDOWS, stream_name
from walras_client.nats.addresses import without_password
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import NO_MESSAGE, NS_PER_S, ask, nanos
from walras_schemas import subjects

CLOCK_MARGIN_S: Final = 5
"""How far the clocks of Postgres and NATS may differ."""
LOOKUPS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """When the server stored a message, and its headers."""

    time_ns: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Looks messages up over one connection."""

    nc: Connection
    url: str

    def logged(self, shard: int, seq: int) -> StoredMessage | None:
        """The message of a shard's log with this sequence; none where there is none."""
        return self._get(stream_name(shard), {"seq": seq})

    def window_published(
        self, *, shard: int, window_id: int, market: str, committed_ns: int
    ) -> StoredMessage | None:
        """The message of a market's window in `WINDOWS`, which keeps them for seven days."""
        since = datetime.fromtimestamp(committed_ns // NS_PER_S - CLOCK_MARGIN_S, UTC)
        question: dict[str, Any] = {"start_time": since.isoformat().replace("+00:00", "Z")}
        for _ in range(LOOKUPS_MAX):
            found = self._answer(WINDOWS, question | {"next_by_subj": subjects.window(market)})
            if found is None:
                return None
            message = _stored(found)
            of_shard, window = message.headers.get(Header.MSG_ID, "0:0:").split(":")[:2]
            if (int(of_shard), int(window)) == (shard, window_id):
                return message
            if int(window) > window_id:
                return None
            question = {"seq": found["seq"] + 1}
        return None

    def _get(self, stream: str, question: Mapping[str, Any]) -> StoredMessage | None:
        found = self._answer(stream, question)
        return None if found is None else _stored(found)

    def _answer(self, stream: str, question: Mapping[str, Any]) -> dict[str, Any] | None:
        try:
            with translate_errors("NATS did not show a message", of=without_password(self.url)):
                answer = run_sync(ask(self.nc, f"STREAM.MSG.GET.{stream}", question))
        except NotFoundError:
            return None
        except APIError as refusal:
            if refusal.err_code == NO_MESSAGE:
                return None
            raise
        found: dict[str, Any] = answer["message"]
        return found


@contextmanager
def open_lookup(url: str) -> Iterator[Lookup]:
    """Look messages up for a block."""
    with open_on_loop(_opened(url)) as nc:
        yield Lookup(nc, url)


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Connection]:
    async with connected(url, name="walras lookup") as nc:
        yield nc


def _stored(found: Mapping[str, Any]) -> StoredMessage:
    head = b64decode(found.get("hdrs", ""))
    headers = Client._parse_header_lines(head) if head else {}  # noqa: SLF001
    return StoredMessage(nanos(found["time"]), headers)
