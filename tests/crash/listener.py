"""A subscriber that hears every live result, and what must hold of what it heard.

Promise: whoever asks what it heard gets all that the broker had for it until then.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from psycopg import Connection

from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from tests.crash.due import Content, ResultKey
from walras_client.nats.connection import Connection as NatsConnection
from walras_schemas import subjects

ALL_RESULTS: Final = "result.>"
_COMMITTED: Final = """
    SELECT window_id, (extract(epoch FROM committed_at) * 1000000)::bigint * 1000
    FROM ledger."window" ORDER BY window_id
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heard(Generic[T]):
    """A live result, and when it arrived in the time of the wall."""

    key: ResultKey
    arrived_ns: int
    content: T


class Listener(Generic[T]):
    """Subscribes to the results of all agents of all markets, also after a lost connection."""

    def __init__(self, nc: NatsConnection, form: Callable[[Content], T]) -> None:
        self.invalid: list[str] = []
        """What was on a subject that it does not belong on, or could not be read."""
        self._nc = nc
        self._form = form
        self._heard: list[Heard[T]] = []
        self._subscription: Subscription

    async def open(self) -> None:
        """Begin to listen."""
        # A limit would drop results that arrive faster than they are read.
        self._subscription = await self._nc.subscribe(
            ALL_RESULTS, cb=self._take, pending_msgs_limit=0, pending_bytes_limit=0
        )
        await self._nc.flush()

    def heard(self) -> list[Heard[T]]:
        """All results until now, in the order of their arrival."""
        run_sync(self._catch_up())
        return self._heard.copy()

    async def _catch_up(self) -> None:
        await self._nc.flush()
        while self._subscription.pending_msgs:  # noqa: ASYNC110 - nats-py has no event for it
            await asyncio.sleep(0)

    async def _take(self, msg: Msg) -> None:
        arrived_ns = time.time_ns()
        try:
            content: dict[str, Any] = json.loads(msg.data)
            market, agent = content["market"], content["agent_id"]
            if msg.subject != subjects.result(market, agent):
                self.invalid.append(f"{msg.subject} carried a result of {agent} in {market}")
            key = content["window_id"], market, agent
            self._heard.append(Heard(key, arrived_ns, self._form(content)))
        except (KeyError, TypeError, ValueError) as unreadable:
            self.invalid.append(f"{msg.subject} carried no result: {unreadable!r}")


def as_it_is(content: Content) -> Content:
    """The form for a run that is short enough to remember all of it."""
    return content


@contextmanager
def listening(url: str, form: Callable[[Content], T]) -> Iterator[Listener[T]]:
    """A listener for a block, over a connection of its own; it remembers results in this form."""
    with open_on_loop(connected(url, name="listener")) as nc:
        listener = Listener(nc, form)
        run_sync(listener.open())
        yield listener


def commit_times_ns(ledger: Connection) -> dict[int, int]:
    """Window to the time of the wall at which its transaction was about to end."""
    return {int(window): int(at_ns) for window, at_ns in ledger.execute(_COMMITTED)}


def wrong_results(
    heard: Sequence[Heard[T]], due: Mapping[ResultKey, T], committed_ns: Mapping[int, int]
) -> list[str]:
    """Every live result that came twice, before its commit, or not as the ledger has it."""
    wrong, before = [], set[ResultKey]()
    for each in heard:
        window, what = each.key[0], named(each.key)
        if each.key in before:
            wrong.append(f"{what} was received twice")
        before.add(each.key)
        if each.key not in due:
            wrong.append(f"{what} was received, and the ledger has none")
        elif due[each.key] != each.content:
            wrong.append(f"{what} was received, and the ledger has something else")
        if each.arrived_ns < committed_ns.get(window, each.arrived_ns + 1):
            wrong.append(f"{what} was received before the commit of its window")
    return wrong


def named(key: ResultKey) -> str:
    """The result in words."""
    window, market, agent = key
    return f"the result of {agent} in {market}, window {window}"
