"""A connection to NATS that outlives an outage.

Promise: the first connection is made within a deadline or not at all; a lost one is made again
until the client is closed, and who waits for an answer can know of the loss at once. Whatever
subject and headers a message has, it is read: nats-py alone would break off at some.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, NoRespondersError, SlowConsumerError
from nats.errors import Error as NatsError
from nats.js.api import Header

from walras_client.nats.addresses import read_addresses
from walras_client.nats.broker import BrokerAddress
from walras_client.nats.errors import (
    AccessDenied,
    ClientClosed,
    ConnectTimeout,
    Disconnected,
    NoReply,
    describe,
    is_denial,
)
from walras_client.nats.wire import Deliver, DeliveryParser

CONNECT_DEADLINE_S: Final = 5.0
RECONNECT_WAIT_S: Final = 1.0
PING_INTERVAL_S: Final = 10
NO_RESPONDERS: Final = "503"

T = TypeVar("T")

log = logging.getLogger(__name__)


class Connection(Client):
    """nats-py's client, which also knows when it is lost; made by `connect`."""

    def __init__(self) -> None:
        super().__init__()
        self._ps = self._parser = DeliveryParser(self)
        self.on_missed: Callable[[str | None], None] = _nothing
        """Called when messages may have been lost: those on a subject, or any (None)."""
        self._online = asyncio.Event()
        self._lost = asyncio.Event()
        self._replies = ""
        self._numbers = count()
        self._unanswered: dict[str, tuple[Callable[[Msg], Any], asyncio.Future[Any]]] = {}

    async def request_async(
        self,
        subject: str,
        payload: bytes,
        *,
        read: Callable[[Msg], T],
        headers: dict[str, str] | None = None,
    ) -> asyncio.Future[T]:
        """Send a request; the future gives what `read` makes of the reply.

        With many in flight nats-py's own `request` is a fifth as fast; its `publish_async` turns a
        cancellation into an error, and leaves an answer pending for ever after `close`.
        """
        inbox = f"{self._replies}.{next(self._numbers)}"
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda _: self._unanswered.pop(inbox))
        self._unanswered[inbox] = read, answer
        try:
            await self.publish(subject, payload, reply=inbox, headers=headers)
        except NatsError as failure:
            answer.set_exception(failure)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        return answer

    async def request_reply(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Ask once, as soon as there is a connection to ask over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.until_connected()
                return await (
                    await self.request_async(subject, payload, read=_as_it_is, headers=headers)
                )
        except TimeoutError:
            raise NoReply(timeout_s) from None

    async def until_connected(self) -> None:
        """Return once there is a connection; raise when it is closed for good."""
        await self._online.wait()
        if self.is_closed:
            raise ConnectionClosedError

    async def until_disconnected(self, coro: Coroutine[Any, Any, T]) -> T:
        """The result of the coroutine; `Disconnected` once the connection is lost, or at once."""
        task, loss = asyncio.ensure_future(coro), asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait([task, loss], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Disconnected
            return task.result()
        finally:
            task.cancel()
            loss.cancel()
            await asyncio.gather(task, loss, return_exceptions=True)

    @contextmanager
    def deliver_direct(self, subscription: Subscription, deliver: Deliver) -> Iterator[None]:
        """For a block, hand on what a consumer delivers as it comes, past nats-py's own queue.

        `deliver` must not raise. Messages without a reply subject still go through the queue.
        """
        number = b"%d" % subscription._id  # noqa: SLF001 - it has no other name on the wire
        self._parser.direct[number] = deliver
        try:
            yield
        finally:
            del self._parser.direct[number]

    async def write(self, frames: Iterable[bytes]) -> None:
        """Send many frames of the protocol at once; `Disconnected` without a connection.

        nats-py's `publish` checks a message, encodes its headers and looks whether to send: for
        thousands that differ in little, that costs more than all else (docs/adr/0014).
        """
        if not self.is_connected:
            raise Disconnected
        await self._send_command(b"".join(frames))
        await self._flush_pending()

    @property
    def was_connected(self) -> bool:
        """Whether there was a connection at some time."""
        return bool(self._replies)

    @property
    def is_authenticated(self) -> bool:
        """Whether the server asks who connects."""
        return bool(self._server_info.get("auth_required"))

    async def open(self) -> None:
        """Listen for replies; from now on there is a connection."""
        self._replies = self.new_inbox()
        await self.subscribe(
            f"{self._replies}.*", cb=self._on_reply, pending_msgs_limit=0, pending_bytes_limit=0
        )
        self._online.set()

    async def close(self) -> None:
        """End the connection for good; who waits for an answer or a connection fails at once.

        What was not acknowledged yet may be lost.
        """
        try:
            await super().close()
        except (OSError, RuntimeError) as failure:
            # nats-py flushes into a socket that an outage has closed; it is closed all the same.
            log.debug("closing: %s", describe(failure))
        self._online.set()
        self._lost.set()
        self.on_missed(None)
        for _, answer in list(self._unanswered.values()):
            if not answer.done():
                answer.set_exception(ClientClosed())

    async def on_disconnected(self) -> None:
        """What nats-py calls when the connection breaks or is closed."""
        self._lost.set()
        self._online.clear()
        self.on_missed(None)

    async def on_reconnected(self) -> None:
        """What nats-py calls when there is a connection again."""
        self._lost.clear()
        self._online.set()

    async def _process_err(self, err_msg: str) -> None:
        """What the server complains of; one that has shut us out is asked again.

        nats-py would close for good. The creds file is read at each connection, so new credentials
        in its place let us in again.
        """
        if is_denial(err_msg):
            await self._process_op_err(AccessDenied(err_msg.strip("' ")))
        else:
            await super()._process_err(err_msg)

    async def _on_reply(self, msg: Msg) -> None:
        read, answer = self._unanswered.get(msg.subject, (None, None))
        if read is None or answer is None or answer.done():
            return  # who asked has given up by now, and may have asked again
        if msg.headers and msg.headers.get(Header.STATUS) == NO_RESPONDERS:
            answer.set_exception(NoRespondersError())
            return
        try:
            answer.set_result(read(msg))
        except Exception as failure:  # noqa: BLE001 - it belongs to who asked
            answer.set_exception(failure)

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        """The message; bytes of its subject that are no UTF-8 are written out in hexadecimals."""
        message: Msg = super()._build_message(sid, readable(subject).encode(), reply, data, headers)
        return message

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        """The headers, or none where they cannot be read."""
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError):
            return None


async def connect(url: str, *, name: str, reconnect_wait_s: float = RECONNECT_WAIT_S) -> Connection:
    """Connect as `name`; once connected, the client reconnects on its own until it is closed.

    `url` may list several servers and name files (`BrokerAddress`). Raises `ConnectTimeout` where
    no server answers, `AccessDenied` where one refuses the credentials, `ValueError` or `OSError`
    where the URL or a file is wrong.
    """
    broker = BrokerAddress.parse(url)
    addresses, options = read_addresses(broker.url), broker.options()
    nc = Connection()
    errors: list[Exception] = []

    async def on_error(error: Exception) -> None:
        errors[:] = [error]
        if not nc.was_connected and is_denial(str(error)):
            raise AccessDenied(describe(error))
        if isinstance(error, SlowConsumerError):
            nc.on_missed(error.subject)
        log.debug("NATS: %s", describe(error))

    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await nc.connect(
                list(addresses.servers),
                # Not in the address: a server that the cluster names later would get none.
                user=addresses.user,
                password=addresses.password,
                token=addresses.token,
                name=name,
                error_cb=on_error,
                disconnected_cb=nc.on_disconnected,
                reconnected_cb=nc.on_reconnected,
                max_reconnect_attempts=-1,
                reconnect_time_wait=reconnect_wait_s,  # type: ignore[arg-type] # it is slept for
                ping_interval=PING_INTERVAL_S,
                **options,
            )
            await nc.open()
    except TimeoutError:
        await nc.close()
        reason = describe(errors[0]) if errors else "no answer"
        raise ConnectTimeout(f"{reason} (waited {CONNECT_DEADLINE_S:.0f} s)") from None
    except (asyncio.CancelledError, AccessDenied):
        await nc.close()
        raise
    return nc


@asynccontextmanager
async def closing(nc: Connection) -> AsyncIterator[Connection]:
    """The connection for a block."""
    try:
        yield nc
    finally:
        await nc.close()


def readable(subject: bytes) -> str:
    """The subject as text; bytes that are no UTF-8 are written out in hexadecimals."""
    return subject.decode(errors="backslashreplace")


def _nothing(_subject: str | None) -> None:
    pass


def _as_it_is(msg: Msg) -> Msg:
    return msg
