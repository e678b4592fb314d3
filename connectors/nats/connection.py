"""Connections of a deployment to NATS, and the errors and log lines of an outage.

Promise: the first connection is made within a deadline or fails as unreachable; a later outage is
retried with growing waits, logged once when it begins and once when it ends, and is an error at a
limit.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from nats.errors import Error as NatsError

from state.errors import ServerUnreachable, SettingsError, WalrasError
from walras_client.backoff import Backoff
from walras_client.nats.addresses import FORM, without_password
from walras_client.nats.broker import BrokerAddress
from walras_client.nats.connection import Connection, closing
from walras_client.nats.connection import connect as connect_client
from walras_client.nats.errors import AccessDenied, ConnectTimeout, describe

RECONNECT_WAIT_S: Final = 0.25
"""Shorter than an agent's: one deployment does not bring a server down that has just come back."""
OUTAGE_LIMIT_S: Final = 300.0
OVERLOADED: Final = "Check that the server runs with JetStream and is not overloaded"

log = logging.getLogger(__name__)


async def connect(url: str, *, name: str) -> Connection:
    """Connect as `name`; once connected, the client reconnects on its own until it is closed.

    With credentials in the address (`BrokerAddress`) the server must ask for them.
    """
    try:
        nc = await connect_client(url, name=name, reconnect_wait_s=RECONNECT_WAIT_S)
    except AccessDenied as failure:
        raise SettingsError(
            "the NATS server refuses the credentials",
            detail=f"{without_password(url)}: {describe(failure)}",
            hint="WALRAS_NATS_CREDS must name a creds file of this server that is neither expired "
            "nor revoked; without it WALRAS_HOME must hold the deployment's keys",
        ) from None
    except ConnectTimeout as failure:
        raise ServerUnreachable(
            "NATS cannot be reached",
            detail=f"{without_password(url)}: {describe(failure)}",
            hint="Check the URL and that nats-server runs, or set no URL to start the embedded one",
        ) from None
    except OSError as unreadable:
        raise SettingsError(
            "a file of the NATS connection cannot be read",
            detail=f"{unreadable.filename}: {unreadable.strerror}",
            hint="WALRAS_NATS_CREDS and WALRAS_NATS_CA name files that this user can read",
        ) from None
    except (NatsError, ValueError) as wrong:
        raise SettingsError(
            "the NATS URL is wrong",
            detail=f"{without_password(url)}: {describe(wrong)}",
            hint=f"It looks like {FORM}",
        ) from None
    if BrokerAddress.parse(url).creds and not nc.is_authenticated:
        await nc.close()
        raise SettingsError(
            "the NATS server asks nobody who they are",
            detail=f"{without_password(url)} takes commands from whoever reaches it",
            hint="Give it accounts (`walras keys server-config`), or set WALRAS_NATS_AUTH=none",
        )
    return nc


@asynccontextmanager
async def connected(url: str, *, name: str) -> AsyncIterator[Connection]:
    """A connection for a block."""
    async with closing(await connect(url, name=name)) as nc:
        yield nc


@contextmanager
def translate_errors(what: str, *, of: str, hint: str = OVERLOADED) -> Iterator[None]:
    """Raise as `ServerUnreachable` what NATS fails with in a block; `of` begins the detail."""
    try:
        yield
    except NatsError as failure:
        raise ServerUnreachable(what, detail=f"{of}: {describe(failure)}", hint=hint) from failure


class Retry:
    """The retries of one operation, its log lines, and its error at the limit."""

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
        self._backoff = Backoff(limit_s)

    async def wait(self, error: Exception) -> None:
        """Wait before the next attempt; raise at the limit."""
        begins = not self._backoff.is_retrying
        wait_s = self._backoff.next_s()
        if wait_s is None:
            detail = f"{describe(error)} (given up after {self._backoff.elapsed_s:.0f} s)"
            raise self._at_limit(self._what, detail=detail, hint=self._hint) from error
        if begins:
            log.warning("%s, retrying: %s", self._what, describe(error))
        await asyncio.sleep(wait_s)

    def reset(self) -> None:
        """It succeeded: the next outage starts anew."""
        if self._backoff.is_retrying:
            log.info("recovered after %.0f s: %s", self._backoff.elapsed_s, self._what)
            self._backoff.reset()
