"""Questions to the market, asked until they are answered.

Promise: an answer holds committed windows only; a refusal is raised with its reason. Asking changes
nothing, so it is repeated freely.
"""

from typing import Final, TypeVar

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from walras_client.errors import QueryRefused, unavailable
from walras_client.nats.connection import Connection
from walras_client.nats.errors import RETRYABLE, describe, retries, wait_before_retry
from walras_schemas import QueryError, QueryErrorReason
from walras_schemas.wire import Message

ANSWER_S: Final = 5.0
ERROR_CODE: Final = "Nats-Service-Error-Code"
ERROR: Final = "Nats-Service-Error"

R = TypeVar("R", bound=Message)


class NoAnswer(NatsError):
    """The service cannot answer now."""


async def query(
    nc: Connection, subject: str, question: Message, *, reply: type[R], retry_timeout_s: float
) -> R:
    """Ask until there is an answer."""
    payload = question.model_dump_json().encode()
    backoff = retries(retry_timeout_s)
    try:
        while True:
            try:
                answer = await nc.request_reply(subject, payload, timeout_s=ANSWER_S)
                return _read(answer, reply, subject=subject)
            except RETRYABLE as error:
                await wait_before_retry(backoff, error)
    except RETRYABLE as error:
        raise unavailable(f"{subject}: {describe(error)}") from error


def _read(msg: Msg, reply: type[R], *, subject: str) -> R:
    headers = msg.headers or {}
    if ERROR_CODE not in headers:
        return reply.model_validate_json(msg.data)
    if not msg.data:
        raise NoAnswer(f"{headers[ERROR_CODE]} {headers.get(ERROR)}")
    error = QueryError.model_validate_json(msg.data)
    if error.reason is QueryErrorReason.UNAVAILABLE:
        raise NoAnswer(error.detail)
    raise QueryRefused(
        "the market refused the question",
        detail=f"{subject}: {error.detail}",
        hint="Check the names of market and agent, and that the agent has received credits",
        reason=error.reason,
    )
