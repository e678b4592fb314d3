"""A connection to NATS that outlives an outage, and the patience that its users have with one.

Promise: the first connection is made within a deadline or told as unreachable; a later outage is
borne with growing waits, told once in the log, and ends in an error at a limit. A line that is lost
is known at once to whoever waits for an answer on it. Whatever subject and headers the server took,
the message is read: nats-py alone would break off at it, and again at each attempt.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from typing_extensions import override

from connectors.nats.subjects import readable
from connectors.nats.wire import Deliver, Frames
from state.errors import ServerUnreachable, SettingsError, WalrasError

CONNECT_DEADLINE_S = 5.0
RECONNECT_WAIT_S = 0.25
PING_INTERVAL_S = 10
OUTAGE_LIMIT_S = 300.0
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 1.0

T = TypeVar("T")

log = logging.getLogger(__name__)


class LineLost(NatsError):
    """The connection broke: what was asked on it is not answered any more."""

    def __str__(self) -> str:
        return "the connection was lost"


class Line(Client):
    """A connection that tells whether it is lost; on its own it is soon found again."""

    def __init__(self) -> None:
        super().__init__()
        self._lost = asyncio.Event()
        self._ps = self._frames = Frames(self)

    @contextmanager
    def straight(self, subscription: Subscription, deliver: Deliver) -> Iterator[None]:
        """For a block, hand on what a consumer delivers as it comes; other messages go their way.

        `deliver` must not raise.
        """
        number = b"%d" % subscription._id  # noqa: SLF001 - it has no other name on the wire
        self._frames.straight[number] = deliver
        try:
            yield
        finally:
            del self._frames.straight[number]

    async def on_lost(self) -> None:
        """What the client calls when the connection breaks or is closed."""
        self._lost.set()

    async def on_found(self) -> None:
        """What the client calls when it has connected again."""
        self._lost.clear()

    @override
    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        """The message; bytes of its subject that are no UTF-8 are written out in hexadecimals."""
        message: Msg = super()._build_message(sid, readable(subject).encode(), reply, data, headers)
        return message

    @override
    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        """The headers, or none where they cannot be read."""
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None

    async def write(self, frames: Iterable[bytes]) -> None:
        """Send many messages at once, each in the words of the protocol; `LineLost` without a line.

        The client's `publish` checks a message, puts its headers into words and looks whether to
        send: for thousands that differ in little, that costs more than all else (docs/adr/0014).
        """
        if not self.is_connected:
            raise LineLost
        await self._send_command(b"".join(frames))
        await self._flush_pending()

    async def unless_lost(self, talk: Coroutine[Any, Any, T]) -> T:
        """What comes of the talk; `LineLost` as soon as the line is, or when it is already."""
        talking, losing = asyncio.ensure_future(talk), asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait([talking, losing], return_when=asyncio.FIRST_COMPLETED)
            if not talking.done():
                raise LineLost
            return talking.result()
        finally:
            talking.cancel()
            losing.cancel()
            await asyncio.gather(talking, losing, return_exceptions=True)


async def connect(url: str, *, name: str) -> Line:
    """Connect as `name`; once connected, the client reconnects on its own until it is closed."""
    nc = Line()
    trouble: list[Exception] = []

    async def remember(error: Exception) -> None:
        trouble[:] = [error]
        log.debug("NATS %s: %s", without_password(url), told(error))

    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await nc.connect(
                url,
                name=name,
                error_cb=remember,
                disconnected_cb=nc.on_lost,
                reconnected_cb=nc.on_found,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # it is slept for
                ping_interval=PING_INTERVAL_S,
            )
    except TimeoutError:
        await close(nc)
        raise unreachable(url, trouble[0] if trouble else None) from None
    except (NatsError, ValueError) as wrong:
        raise SettingsError(
            "the NATS URL is wrong",
            detail=f"{without_password(url)}: {told(wrong)}",
            hint="It looks like nats://host:4222",
        ) from None
    return nc


@asynccontextmanager
async def connected(url: str, *, name: str) -> AsyncIterator[Line]:
    """A connection for a block; prefer it to `connect`, for it also closes well in an outage."""
    nc = await connect(url, name=name)
    try:
        yield nc
    finally:
        await close(nc)


async def close(nc: Client) -> None:
    """End a connection; what was not acknowledged yet may be lost, as its sender knows."""
    try:
        await nc.close()
    except (OSError, RuntimeError) as failure:
        # The client flushes into a socket that the outage has closed; it is closed all the same.
        log.debug("closing: %s", told(failure))


def unreachable(url: str, trouble: Exception | None) -> ServerUnreachable:
    """NATS gave no answer within the deadline of a first connection."""
    reason = told(trouble) if trouble else "no answer"
    return ServerUnreachable(
        "NATS cannot be reached",
        detail=f"{without_password(url)}: {reason} (waited {CONNECT_DEADLINE_S:.0f} s)",
        hint="Check the URL and that nats-server runs, or set no URL to start the embedded one",
    )


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, _, rest = url.rpartition("://")
    host = rest.rpartition("@")[2]
    return f"{scheme}://{host}" if scheme else host


def told(error: BaseException) -> str:
    """What an error says of itself, or at least what it is."""
    return str(error) or type(error).__name__


class Patience:
    """With one thing that does not answer: each wait is longer, the sum of them has a limit."""

    def __init__(
        self,
        what: str,
        *,
        hint: str,
        limit_s: float,
        at_limit: type[WalrasError] = ServerUnreachable,
    ) -> None:
        self._what = what
        self._hint = hint
        self._at_limit = at_limit
        self._limit_s = limit_s
        self._since_s: float | None = None
        self._wait_s = FIRST_WAIT_S

    async def bear(self, trouble: Exception) -> None:
        """Wait before the next attempt; raise when it has lasted too long."""
        now_s = asyncio.get_running_loop().time()
        if self._since_s is None:
            self._since_s = now_s
            log.warning("%s", self._told(trouble, "trying again"))
        lasted_s = now_s - self._since_s
        if lasted_s > self._limit_s:
            raise self._told(trouble, f"given up after {lasted_s:.0f} s") from trouble
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    def relieve(self) -> None:
        """It answered: the next outage starts from nothing."""
        if self._since_s is not None:
            log.info("over: %s", self._what)
            self._since_s = None
            self._wait_s = FIRST_WAIT_S

    def _told(self, trouble: Exception, outcome: str) -> WalrasError:
        return self._at_limit(self._what, detail=f"{told(trouble)} ({outcome})", hint=self._hint)
