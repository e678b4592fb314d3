"""A stream on its way to a thread that takes what was read ahead, through outages.

Promise: what is put is contiguous, whatever happened to the connection or the server; a stream that
is gone, that was made again or that lost messages ends the reading with an error.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from connectors.nats.connection import OUTAGE_LIMIT_S, Retry
from connectors.nats.log_checks import check_read
from connectors.nats.reader import read_log
from state.errors import LogReplaced
from state.shard import StreamIdentity
from walras_client.nats.connection import Connection
from walras_client.nats.reader import Deliveries

POLL_INTERVAL_S: Final = 0.005
MISSING_LIMIT_S: Final = 10.0


class Intake(Protocol):
    """Where messages are put: another thread takes them from there."""

    @property
    def next_seq(self) -> int:
        """The next to read from the stream."""
        ...

    @property
    def last_read(self) -> tuple[int, int]:
        """The sequence of the last message that was put, and the latest time; 0 before it."""
        ...

    def put(self, messages: Deliveries) -> None:
        """Add the messages that follow the last one."""
        ...

    def room(self) -> tuple[int, int]:
        """Messages and bytes that may be read now."""
        ...


async def read_through_outages(nc: Connection, stream: StreamIdentity, intake: Intake) -> None:
    """Read for ever; what ends it is an error that whoever takes must see."""
    outage = Retry(
        f"the log {stream.name} cannot be read",
        hint="Check that nats-server runs; the flow resumes where it was",
        limit_s=OUTAGE_LIMIT_S,
    )
    missing = Retry(
        f"the log {stream.name} is gone",
        hint="Restore the stream from a backup, or begin with an empty ledger",
        at_limit=LogReplaced,
        limit_s=MISSING_LIMIT_S,
    )
    while True:
        try:
            await nc.until_disconnected(_read_on(nc, stream, intake, (outage.reset, missing.reset)))
        except NotFoundError as gone:
            await missing.wait(gone)
        except (NatsError, OSError) as error:
            await outage.wait(error)


async def _read_on(
    nc: Connection, stream: StreamIdentity, intake: Intake, resets: Iterable[Callable[[], None]]
) -> None:
    last_seq, at_ns = intake.last_read
    await check_read(nc, stream.name, seq=last_seq, at_ns=at_ns)
    async with read_log(nc, stream, next_seq=intake.next_seq, on_messages=intake.put) as log:
        while True:
            messages, max_bytes = await _room(intake)
            await log.pull(messages=messages, max_bytes=max_bytes)
            for reset in resets:
                reset()


async def _room(intake: Intake) -> tuple[int, int]:
    # The flow's thread takes without waking this loop: a full intake is in no hurry.
    while not (room := intake.room())[0]:  # noqa: ASYNC110
        await asyncio.sleep(POLL_INTERVAL_S)
    return room
