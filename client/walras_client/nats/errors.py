"""What a failed NATS call says, and whether to retry it."""

import asyncio
import logging
from typing import Final

from nats.errors import (
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NoRespondersError,
)
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError

from walras_client.backoff import Backoff

RETRY_MIN_S: Final = 0.05
RETRY_MAX_S: Final = 2.0
NOT_FOUND: Final = 404
SERVER_ERROR: Final = 500
DENIALS: Final = (
    "authorization violation",
    "authentication expired",
    "authentication revoked",
)

RETRYABLE: Final = (NatsError, TimeoutError)
_PERMANENT: Final = (
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
)

log = logging.getLogger(__name__)


class Disconnected(NatsError):
    """The connection broke: what was asked over it is not answered any more."""

    def __str__(self) -> str:
        return "the connection was lost"


class ClientClosed(NatsError):
    """The client was closed before the answer came."""

    def __str__(self) -> str:
        return "the client was closed before an answer came"


class NoReply(NatsTimeoutError):
    """Nobody answered within the deadline."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(timeout_s)
        self.timeout_s = timeout_s

    def __str__(self) -> str:
        return f"no answer within {self.timeout_s:g} s"


class ConnectTimeout(NatsError):
    """No server accepted the first connection within the deadline."""


class AccessDenied(NatsError):
    """The server knows nobody by these credentials: they are wrong, expired or revoked."""


class Interrupted(NatsError):
    """The server ended a delivery, left out a message or fell silent; a new reader resumes."""


def is_denial(text: str) -> bool:
    """Whether a server's complaint is about who we are, not about what we did."""
    return any(words in text.lower() for words in DENIALS)


def is_transient(error: Exception) -> bool:
    """Whether a retry may succeed, as it does after silence and a full disk."""
    if isinstance(error, APIError):
        return error.code == NOT_FOUND or (error.code or 0) >= SERVER_ERROR
    return not isinstance(error, _PERMANENT)


def describe(error: BaseException) -> str:
    """The text of an error, or at least its kind."""
    if isinstance(error, APIError):
        return f"{error.description} (code {error.err_code})"
    if isinstance(error, NoRespondersError):
        return "no responders"
    return str(error) or type(error).__name__


def retries(limit_s: float) -> Backoff:
    """The backoff of an agent, which is one of many: they must not all come back at once."""
    return Backoff(limit_s, min_s=RETRY_MIN_S, max_s=RETRY_MAX_S, jitter=True)


async def wait_before_retry(backoff: Backoff, error: Exception) -> None:
    """Wait before the next attempt; raise a permanent error, and any when the limit is reached."""
    wait_s = backoff.next_s() if is_transient(error) else None
    if wait_s is None:
        raise error
    log.debug("retrying in %.2f s: %s", wait_s, describe(error))
    await asyncio.sleep(wait_s)
