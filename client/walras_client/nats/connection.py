"""The connection of an agent to NATS.

Promise: the first one is made within a deadline; when it is lost, it is made again on its own for
as long as the client is open, and whoever watches it is told.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import Error as NatsError
from nats.js.api import Header
from nats.js.errors import APIError

from walras_client.backoff import told
from walras_client.errors import ServerAway

CONNECT_DEADLINE_S: Final = 5.0
ATTEMPT_S: Final = 2.0
RECONNECT_WAIT_S: Final = 1
PING_INTERVAL_S: Final = 10
NO_RESPONDERS: Final = "503"

log = logging.getLogger(__name__)


class HungUp(NatsError):
    """The client was closed before the answer came."""

    def __str__(self) -> str:
        return "the client was closed before an answer came"


class Wire(Client):
    """nats-py's client, which alone would read nothing more after headers that it cannot read."""

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None


class Link:
    """One connection: who asks over it, and who has to know that it was lost and is there again."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self._online = asyncio.Event()
        self._watchers: set[Callable[[], None]] = set()
        self._inbox = nc.new_inbox()
        self._numbers = count()
        self._unanswered: dict[str, asyncio.Future[Msg]] = {}

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: dict[str, str] | None = None,
        within_s: float = ATTEMPT_S,
    ) -> Msg:
        """Ask once, as soon as there is a connection to ask over.

        nats-py's own `request` is a fifth as fast with many under way.
        """
        inbox = f"{self._inbox}.{next(self._numbers)}"
        async with asyncio.timeout(within_s):
            await self._online.wait()
            if self.nc.is_closed:
                raise ConnectionClosedError
            answer: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
            self._unanswered[inbox] = answer
            try:
                await self.nc.publish(subject, payload, reply=inbox, headers=headers)
                return await answer
            finally:
                del self._unanswered[inbox]

    async def ask(self, question: str, content: object | None = None) -> dict[str, Any]:
        """Ask JetStream `$JS.API.<question>` once; a refusal is nats-py's own `APIError`."""
        payload = b"" if content is None else json.dumps(content).encode()
        return answer_of(await self.request(f"$JS.API.{question}", payload))

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call the watcher from now on whenever the connection was made again, or is no more."""
        self._watchers.add(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Call it no more."""
        self._watchers.discard(watcher)

    async def open(self) -> None:
        """Listen for answers; from now on there is a connection."""
        await self.nc.subscribe(
            f"{self._inbox}.*", cb=self._settle, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._online.set()

    async def close(self) -> None:
        """Hang up for good: whoever waits for an answer, or for a connection, is told at once."""
        try:
            await self.nc.close()
        except (OSError, RuntimeError) as failure:
            # nats-py flushes into a socket that an outage has closed; it is closed all the same.
            log.debug("closing: %s", told(failure))
        self._online.set()
        for answer in self._unanswered.values():
            if not answer.done():
                answer.set_exception(HungUp())
        self._tell_watchers()

    async def came(self) -> None:
        """There is a connection again."""
        self._online.set()
        self._tell_watchers()

    async def went(self) -> None:
        """The connection was lost."""
        self._online.clear()

    def _tell_watchers(self) -> None:
        for watcher in self._watchers:
            watcher()

    async def _settle(self, msg: Msg) -> None:
        answer = self._unanswered.get(msg.subject)
        if answer is None or answer.done():
            return  # who asked has given up by now, and may have asked again
        if msg.headers and msg.headers.get(Header.STATUS) == NO_RESPONDERS:
            answer.set_exception(NoRespondersError())
        else:
            answer.set_result(msg)


@asynccontextmanager
async def open_link(url: str, *, name: str) -> AsyncIterator[Link]:
    """Connect as `name` for a block."""
    link = Link(Wire())
    try:
        await _connect(link, url, name)
        yield link
    finally:
        await link.close()


async def _connect(link: Link, url: str, name: str) -> None:
    trouble: list[Exception] = []

    async def remember(error: Exception) -> None:
        trouble[:] = [error]
        log.debug("NATS: %s", told(error))

    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await link.nc.connect(
                url,
                name=name,
                error_cb=remember,
                disconnected_cb=link.went,
                reconnected_cb=link.came,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,
                ping_interval=PING_INTERVAL_S,
            )
    except TimeoutError:
        reason = told(trouble[0]) if trouble else "no answer"
        raise away(f"{reason} (waited {CONNECT_DEADLINE_S:.0f} s)") from None
    except (NatsError, ValueError) as wrong:
        raise away(told(wrong)) from wrong
    await link.open()


def answer_of(reply: Msg) -> dict[str, Any]:
    """What JetStream answered; a refusal is raised."""
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise APIError.from_error(answer["error"])
    return answer


def away(detail: str) -> ServerAway:
    """NATS is not there, or no market is behind it."""
    return ServerAway(
        "the market cannot be reached",
        detail=detail,
        hint="Check the URL, that nats-server runs, and that `walras up` does",
    )
