"""How a command gets into the log from a program: one at a time, or many in flight.

Promise: a command that was acknowledged is in the log; sending it again with the same event id
changes nothing for two minutes, and after that the market calls it a duplicate.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import APIError

from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.publisher import IN_FLIGHT, Publisher
from state.errors import ServerUnreachable, SettingsError, WalrasError
from walras_client.nats.errors import describe
from walras_client.nats.publisher import PubAck
from walras_schemas import TREASURY, message_id

AGENT_KINDS: Final = ("bid", "transfer")
"""Of subjects that end with the agent which sends."""


@asynccontextmanager
async def commands(url: str, *, in_flight: int = IN_FLIGHT) -> AsyncIterator[Publisher]:
    """A publisher for a program with an event loop of its own; see `refusal` for its errors."""
    async with connected(url, name="walras commands") as nc:
        yield Publisher(nc, in_flight=in_flight)


class CommandClient:
    """Publishes one command at a time for a program without an event loop."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def publish_command(self, subject: str, payload: bytes, *, msg_id: str) -> PubAck:
        """Put a command into the log; see `command_id` for `msg_id`."""
        try:
            return run_sync(self._publisher.publish(subject, payload, msg_id=msg_id))
        except NatsError as failure:
            raise refusal(subject, failure) from failure


@contextmanager
def open_commands(url: str) -> Iterator[CommandClient]:
    """A client for as long as the block runs."""
    with open_on_loop(commands(url)) as publisher:
        yield CommandClient(publisher)


def command_id(subject: str, event_ids: Iterable[str]) -> str:
    """The message id of commands on a subject: of its market, its sender and their ids."""
    _, market, kind, *rest = subject.split(".")
    sender = rest[0] if kind in AGENT_KINDS else TREASURY
    return message_id(market, sender, event_ids)


def refusal(subject: str, failure: NatsError) -> WalrasError:
    """Why the log did not take a command, in our own words."""
    if isinstance(failure, NoRespondersError):
        return SettingsError(
            "no shard takes the command",
            detail=f"NATS knows no stream for {subject}",
            hint="Start `walras up` once to make the streams, with connectors/nats/nats.conf",
        )
    if isinstance(failure, APIError):
        return WalrasError(
            "the log refused the command",
            detail=f"{subject}: {describe(failure)}",
            hint="A full log takes nothing more: raise max_bytes of its stream",
        )
    return ServerUnreachable(
        "the command may not be in the log",
        detail=f"{subject}: {describe(failure)}",
        hint="Send it again with the same event id, it counts once",
    )
