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
from nats.micro import add_service
from nats.micro.request import Request
from nats.micro.service import Service

from connectors.nats.connection import connected

VERSION: Final = "1.0.0"

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


@asynccontextmanager
async def serving(
    url: str, *, name: str, endpoints: Sequence[Endpoint], threads: Executor
) -> AsyncIterator[None]:
    """Answer questions for a block, over a connection of its own."""
    async with connected(url, name=name) as nc:
        service = await _start(nc, name)
        try:
            for endpoint in endpoints:
                await service.add_endpoint(
                    name=endpoint.name,
                    subject=endpoint.subject,
                    handler=_answering(endpoint, threads),
                )
            await nc.flush()
            yield
        finally:
            await service.stop()


async def _start(nc: Client, name: str) -> Service:
    with warnings.catch_warnings():
        # nats-py asks for the time in a way that Python 3.12 wants to be rid of.
        warnings.filterwarnings("ignore", r"datetime\.datetime\.utcnow", DeprecationWarning)
        return await add_service(nc, name=name, version=VERSION, queue_group=name)


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
