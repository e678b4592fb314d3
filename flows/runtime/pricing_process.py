"""The pricing flow as a process of its own, beside the one that allocates.

Run as `python -m flows.runtime.pricing_process` by the deployment (flows/runtime/child_process.py).
Promise: whatever happens to it, allocation keeps running; it is started again for as long as the
deployment runs, and nothing is quoted twice.
"""

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
from flows.runtime import child_process
from flows.runtime.child_process import Process, keep_running
from flows.runtime.engine import run_flow
from flows.runtime.pricing_plan import read_past, read_plan
from flows.runtime.servers import Servers, as_pricing
from operators.keyed import BatchSink
from state.window import OutboundMessage
from walras_schemas import DEDUPE_HORIZON_MS, uuid7_ms

OLDEST_QUOTE_MS: Final = DEDUPE_HORIZON_MS - 10_000
"""A quote from an older window would reach the log too late for its id."""
NS_PER_MS: Final = 1_000_000


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
    """Keep a pricing process running beside the block, and end it with the block.

    Without it allocation clears at the last known prices.
    """
    stop = threading.Event()
    supervisor = threading.Thread(
        target=lambda: keep_running(
            lambda: start_pricing(servers), stop, name="the pricing process"
        ),
        name="pricing",
    )
    supervisor.start()
    try:
        yield
    finally:
        stop.set()
        supervisor.join()


def start_pricing(servers: Servers) -> Process:
    """Start the process; it ends when its standard input is closed."""
    return child_process.start(__name__, as_pricing(servers))


if __name__ == "__main__":
    sys.exit(child_process.child_main("pricing", Servers, run_pricing))
