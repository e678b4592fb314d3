"""Questions over request and reply, as a NATS micro service.

Promise: of all instances that listen one answers each question; answers are worked out in threads
beside the loop, one at a time for each endpoint, so that the flow's own traffic never waits for
them.
"""

import asyncio
import logging
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import Service

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connected, translate_errors
from walras_client.nats.addresses import without_password
from walras_client.nats.errors import describe

VERSION: Final = "1.0.0"
STOP_LIMIT_S: Final = 3.0
PING_LIMIT_S: Final = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceError:
    """Why there is no answer, as NATS has it in the headers of a reply."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or with an error the body that goes with it."""

    payload: bytes
    error: ServiceError | None = None


Answer = Callable[[str, bytes], Reply]
"""Gets the subject and the payload of a question; it may wait, for it has a thread."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of question."""

    name: str
    subject: str
    answer: Answer


def is_served(url: str, name: str) -> bool:
    """Whether an instance of the service `name` answers, as NATS itself asks micro services."""

    async def ping() -> bool:
        async with connected(url, name="walras ping") as nc:
            try:
                await nc.request(f"$SRV.PING.{name}", timeout=PING_LIMIT_S)
            except NatsError:
                return False
            return True

    return run_sync(ping())


@asynccontextmanager
async def serving(
    url: str, *, name: str, endpoints: Sequence[Endpoint], threads: Executor
) -> AsyncIterator[None]:
    """Answer questions for a block, over a connection of its own.

    Raises `ServerUnreachable` when NATS does not answer at the beginning. At the end it may be
    unavailable: the connection is closed in any case, and takes the subscriptions with it.
    """
    async with connected(url, name=name) as nc:
        with translate_errors(f"{name} cannot start", of=without_password(url)):
            service = await _add_service(nc, name)
            for endpoint in endpoints:
                await service.add_endpoint(
                    name=endpoint.name,
                    subject=endpoint.subject,
                    handler=_answering(endpoint, threads),
                )
            await nc.flush()
        try:
            yield
        finally:
            await _stop(service, name)


async def _add_service(nc: Client, name: str) -> Service:
    with warnings.catch_warnings():
        # nats-py asks for the time in a way that Python 3.12 wants to be rid of.
        warnings.filterwarnings("ignore", r"datetime\.datetime\.utcnow", DeprecationWarning)
        return await add_service(nc, name=name, version=VERSION, queue_group=name)


async def _stop(service: Service, name: str) -> None:
    """Answer what has been asked, and ask NATS for no more."""
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await service.stop()
    except (NatsError, TimeoutError) as failure:
        log.warning("%s stopped while NATS is unavailable: %s", name, describe(failure))


def _answering(endpoint: Endpoint, threads: Executor) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        reply = await asyncio.get_running_loop().run_in_executor(
            threads, endpoint.answer, request.subject, request.data
        )
        error = reply.error
        if error is None:
            await request.respond(reply.payload)
        else:
            await request.respond_error(error.code, error.description, data=reply.payload)

    async def answer_or_log(request: Request) -> None:
        try:
            await answer(request)
        except Exception:
            # The service reports it to the asker only, and no more than its name.
            log.exception("the question %s was not answered", request.subject)
            raise

    return answer_or_log
