"""The pricing flow as a process of its own, beside the one that allocates.

Run as `python -m flows.runtime.pricing_process` by the deployment (flows/runtime/child_process.py).
Promise: whatever happens to it, allocation goes on; it is started again for as long as the
deployment runs, and nothing is quoted twice.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Final

from connectors.nats.quotes import QuoteLog, open_quotes
from connectors.nats.windows_source import WindowsSource
from connectors.postgres.connection import connect
from flows.pricing import build
from flows.runtime import child_process as child
from flows.runtime.engine import run_flow
from flows.runtime.pricing_plan import read_past, read_plan
from flows.runtime.servers import Servers
from operators.keyed import BatchSink
from state.window import OutboundMessage
from walras_schemas import DEDUPE_HORIZON_MS, uuid7_ms

OLDEST_QUOTE_MS: Final = DEDUPE_HORIZON_MS - 10_000
"""A quote from an older window would reach the log too late for its id."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.2
NS_PER_MS: Final = 1_000_000

log = logging.getLogger(__name__)


def run_pricing(servers: Servers, stop: threading.Event) -> None:
    """Quote prices until `stop` is set; a `WalrasError` says why it ended before."""
    with connect(servers.postgres_dsn) as ledger, open_quotes(servers.nats_url) as quotes:
        flow = build(
            source=WindowsSource(servers.nats_url, stop),
            plan_of=lambda market: read_plan(ledger, market),
            past_of=lambda market, plan, window: read_past(ledger, market, plan, window),
            quoted_of=lambda window: quotes.latest(
                window.shard, window.market, [price.resource for price in window.prices]
            ),
            publish=BatchSink(_in_time(quotes)),
        )
        run_flow(flow)


def _in_time(log_of_quotes: QuoteLog) -> Callable[[Sequence[OutboundMessage]], None]:
    """Publish quotes, those of a market at once, except the ones that are too late.

    A price that nobody quoted in time is of no use later: the next window brings another.
    """

    def publish(quotes: Sequence[OutboundMessage]) -> None:
        oldest_ms = time.time_ns() // NS_PER_MS - OLDEST_QUOTE_MS
        in_time = [quote for quote in quotes if uuid7_ms(quote.msg_id) >= oldest_ms]
        for market, of_market in groupby(in_time, key=_market_of):
            log_of_quotes.publish(market, list(of_market))

    return publish


def _market_of(quote: OutboundMessage) -> str:
    return quote.subject.split(".")[1]


@contextmanager
def pricing_beside(servers: Servers) -> Iterator[None]:
    """Keep a pricing process running beside the block, and end it with the block."""
    stop = threading.Event()
    keeper = threading.Thread(target=_keep_running, args=(servers, stop), name="pricing")
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def _keep_running(servers: Servers, stop: threading.Event) -> None:
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        process, started_s = start_pricing(servers), time.monotonic()
        while process.poll() is None and not stop.wait(LOOK_AGAIN_S):
            pass
        child.end(process)
        if stop.is_set():
            return
        lived_s = time.monotonic() - started_s
        pause_s = FIRST_PAUSE_S if lived_s > LONGEST_PAUSE_S else min(2 * pause_s, LONGEST_PAUSE_S)
        log.warning(
            "the pricing process ended with exit code %d; allocation goes on at the last known "
            "prices, and it is started again in %.0f s",
            process.returncode,
            pause_s,
        )
        stop.wait(pause_s)


def start_pricing(servers: Servers) -> child.Process:
    """Start the process; it ends when its standard input is closed."""
    return child.start(__name__, servers)


if __name__ == "__main__":
    sys.exit(child.follow("pricing", Servers, run_pricing))
