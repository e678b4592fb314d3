"""What it costs to have each message on the disk before the broker acknowledges it.

Promise: the servers differ in `sync_interval` alone, run side by side on one disk and are asked in
turns, so that a busy machine slows all of them; what is reported of each case is the median round.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
import uuid_utils

from connectors.embedded.nats_server import CONFIG, HOST, STOP_DEADLINE_S, executable
from connectors.nats.connection import connected
from connectors.nats.publisher import Publisher
from connectors.nats.topology import ensure_streams
from walras_schemas import BATCH_MAX, subjects

INTERVALS: Final = ("always", "1s", "2m")
ROUNDS: Final = 3
ROUND_S: Final = 1.0
STARTED_WITHIN_S: Final = 20.0
LOG_BYTES: Final = 4 << 30
SUBJECT: Final = subjects.bid("bench", "a1")

_ids = count()


def bid() -> bytes:
    """A unit bid as it travels."""
    return msgspec.json.encode(
        {
            "type": "bid_placed",
            "event_id": str(uuid_utils.uuid7()),
            "resource": "tokens",
            "quantity": 40,
            "unit_price_micros": 1500,
        }
    )


BID: Final = bid()
BATCH: Final = b"[" + b",".join([BID] * BATCH_MAX) + b"]"


async def alone(publisher: Publisher) -> int:
    """One bid, and the next after its acknowledgement."""
    await publisher.publish(SUBJECT, BID, msg_id=str(next(_ids)))
    return 1


async def in_flight(publisher: Publisher) -> int:
    """A thousand bids on their way at once, each with an acknowledgement of its own."""
    receipts = [
        await publisher.publish_async(SUBJECT, BID, msg_id=str(next(_ids)))
        for _ in range(BATCH_MAX)
    ]
    await asyncio.gather(*receipts)
    return BATCH_MAX


async def one_message(publisher: Publisher) -> int:
    """A thousand bids in one message, as a JSON array."""
    await publisher.publish(SUBJECT, BATCH, msg_id=str(next(_ids)))
    return BATCH_MAX


Case = Callable[[Publisher], Awaitable[int]]
Rates = Mapping[tuple[str, str], float]
"""Bids per second, by case and interval."""

CASES: Final[dict[str, Case]] = {
    "one at a time": alone,
    "1000 in flight": in_flight,
    "one message of 1000": one_message,
}


async def rate(case: Case, publisher: Publisher) -> float:
    """Acknowledged bids per second."""
    began, bids = time.perf_counter(), 0
    while time.perf_counter() < began + ROUND_S:
        bids += await case(publisher)
    return bids / (time.perf_counter() - began)


@contextmanager
def broker(folder: Path, interval: str) -> Iterator[str]:
    """A server of its own, as in a deployment but for the interval; its URL."""
    folder.mkdir()
    setting = f'sync_interval: "{interval}"'
    text, found = re.subn(r"sync_interval: \S+", setting, CONFIG.read_text())
    assert found == 1, "nats.conf sets the interval in one place"
    config = folder / "nats.conf"
    config.write_text(text)
    where = ["-a", HOST, "-p", "-1", "--ports_file_dir", str(folder), "-sd", str(folder)]
    process = subprocess.Popen(
        [executable(), "-c", config, *where, "-l", folder / "log"],
        env={"NATS_MARKETS": '"shard.{{partition(1,1)}}.market.{{wildcard(1)}}.>"'},
    )
    try:
        yield _url(folder / f"nats-server_{process.pid}.ports")
    finally:
        process.terminate()
        process.wait(STOP_DEADLINE_S)


def _url(ports: Path) -> str:
    deadline = time.monotonic() + STARTED_WITHIN_S
    while not (ports.exists() and ports.stat().st_size):
        assert time.monotonic() < deadline, "nats-server did not start"
        time.sleep(0.02)
    return str(msgspec.json.decode(ports.read_bytes())["nats"][0])


@asynccontextmanager
async def empty_log(url: str) -> AsyncIterator[Publisher]:
    """A publisher to a server that has just been given its streams."""
    async with connected(url, name="bench durability") as nc:
        await ensure_streams(nc, shards=1, max_bytes=LOG_BYTES, tick_ms=None)
        yield Publisher(nc)


async def measure(urls: Mapping[str, str]) -> Rates:
    """The rate of each case on each server."""
    rounds: dict[tuple[str, str], list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        publishers = {
            interval: await stack.enter_async_context(empty_log(url))
            for interval, url in urls.items()
        }
        for case in list(CASES) * ROUNDS:
            for interval, publisher in publishers.items():
                rounds[case, interval].append(await rate(CASES[case], publisher))
    return {measured: median(rates) for measured, rates in rounds.items()}


def flush_ms(folder: Path) -> float:
    """How long this disk takes for a bid that is written and flushed, in milliseconds."""
    with (folder / "flushed").open("wb", buffering=0) as file:
        began, writes = time.perf_counter(), 0
        while time.perf_counter() < began + ROUND_S:
            file.write(BID)
            os.fsync(file.fileno())
            writes += 1
    return ROUND_S / writes * 1000


def table(rates: Rates) -> str:
    """The rates in Markdown, and what `always` leaves of the rate at two minutes."""
    lines = [
        f"| bids per second | {' | '.join(INTERVALS)} | always / 2m |",
        "| --- |" + " --- |" * 4,
    ]
    for case in CASES:
        cells = [f"{rates[case, interval]:,.0f}" for interval in INTERVALS]
        share = rates[case, "always"] / rates[case, "2m"]
        lines.append(f"| {case} | {' | '.join(cells)} | {share:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory(prefix="walras-") as home, ExitStack() as stack:
        folder = Path(home)
        one_flush_ms = flush_ms(folder)
        urls = {
            interval: stack.enter_context(broker(folder / interval, interval))
            for interval in INTERVALS
        }
        rates = asyncio.run(measure(urls))
    sys.stdout.write(f"{table(rates)}\n\nOne flush takes {one_flush_ms:.2f} ms.\n")


if __name__ == "__main__":
    main()
