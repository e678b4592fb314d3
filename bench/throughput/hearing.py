"""Results as agents hear them: live, and how long after each command was made.

Promise: what is heard is stamped as it arrives and read afterwards; what does not arrive is missing
from the count, and ends no run.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from nats.aio.msg import Msg
from numpy.typing import NDArray

from bench.throughput.drain import percentile
from bench.workload import Workload
from connectors.nats.connection import connected
from state.bids import UUID_BYTES, Bytes

SILENCE_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.05
NS_PER_MS: Final = 1_000_000
MS_PER_S: Final = 1000
TIME_BYTES: Final = 6
"""Of an event id: it begins with its time, in milliseconds."""

_ids_in = re.compile(rb'"event_id":"([0-9a-f-]{36})"').findall

Millis = NDArray[np.float64]


class Heard(NamedTuple):
    """How many outcomes were heard, and how long after their commands were made."""

    outcomes: int
    ms_p50: float = 0.0
    ms_p99: float = 0.0


@dataclass(slots=True)
class Hearing:
    """The results of a market's agents, each with the time at which it came."""

    came: list[tuple[int, bytes]] = field(default_factory=list)
    outcomes: int = 0

    async def take(self, msg: Msg) -> None:
        """Note a result."""
        self.came.append((time.time_ns(), msg.data))
        self.outcomes += msg.data.count(b'"event_id"')

    async def until(self, *, outcomes: int) -> None:
        """Wait until so many were heard, or nothing more comes."""
        seen, silent_since = -1, time.monotonic()
        while self.outcomes < outcomes and time.monotonic() - silent_since < SILENCE_S:
            if self.outcomes != seen:
                seen, silent_since = self.outcomes, time.monotonic()
            await asyncio.sleep(POLL_INTERVAL_S)

    def heard(self, *, warm_up_s: float) -> Heard:
        """What came, without the times of the warm-up."""
        ids = [_ids_in(payload) for _, payload in self.came]
        if not any(ids):
            return Heard(0)
        came_ms = np.repeat([at_ns / NS_PER_MS for at_ns, _ in self.came], list(map(len, ids)))
        joined = b"".join(each for found in ids for each in found).replace(b"-", b"")
        columns = np.frombuffer(bytes.fromhex(joined.decode()), np.uint8).reshape(-1, UUID_BYTES)
        waited = waited_ms(made_at_ms(columns), came_ms, warm_up_s=warm_up_s)
        return Heard(len(columns), percentile(waited, 50), percentile(waited, 99))


def hear(url: str, workload: Workload, *, warm_up_s: float) -> Heard:
    """Listen to the results of all agents in this process, until all bids have theirs."""
    return asyncio.run(_hear(url, workload, warm_up_s))


async def _hear(url: str, workload: Workload, warm_up_s: float) -> Heard:
    hearing = Hearing()
    async with connected(url, name="walras bench listen") as nc:
        await nc.subscribe(
            f"result.{workload.market}.*",
            cb=hearing.take,
            pending_msgs_limit=0,
            pending_bytes_limit=0,
        )
        await hearing.until(outcomes=workload.bids)
    return hearing.heard(warm_up_s=warm_up_s)


def made_at_ms(event_ids: Bytes) -> Millis:
    """When each id was made, since the epoch."""
    padded = np.zeros((len(event_ids), 8), dtype=np.uint8)
    padded[:, -TIME_BYTES:] = event_ids[:, :TIME_BYTES]
    return padded.view(">i8")[:, 0].astype(np.float64)


def waited_ms(made_ms: Millis, ended_ms: Millis, *, warm_up_s: float) -> list[float]:
    """From each to the end of its waiting, without those made in the warm-up."""
    timed = made_ms >= made_ms.min() + warm_up_s * MS_PER_S
    waited: list[float] = (ended_ms - made_ms)[timed].tolist()
    return waited
