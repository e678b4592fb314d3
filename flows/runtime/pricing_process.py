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

from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.nats.last_by_subject import latest_quotes
from connectors.nats.results_publisher import ResultsPublisher, open_publisher
from connectors.nats.results_source import ResultsSource
from connectors.postgres.connection import connect
from flows.pricing import build
from flows.runtime import child_process
from flows.runtime.child_process import Process, keep_running
from flows.runtime.engine import run_flow
from flows.runtime.pricing_plan import read_past, read_plan
from flows.runtime.servers import Servers
from operators.keyed import BatchSink
from state.window import OutboundMessage
from walras_schemas import DEDUPE_HORIZON_MS, uuid7_ms

OLDEST_QUOTE_MS: Final = DEDUPE_HORIZON_MS - 10_000
"""A quote from an older window would reach the log too late for its id."""
NS_PER_MS: Final = 1_000_000


def run_pricing(servers: Servers, stop: threading.Event) -> None:
    """Quote prices until `stop` is set; a `WalrasError` says why it ended before."""
    with (
        connect(servers.postgres_dsn) as ledger,
        open_on_loop(connected(servers.nats_url, name="walras quote")) as nc,
        open_publisher(servers.nats_url) as publisher,
    ):
        flow = build(
            source=ResultsSource(servers.nats_url, stop),
            plan_of=lambda market: read_plan(ledger, market),
            past_of=lambda market, plan, window: read_past(ledger, market, plan, window),
            quoted_of=lambda window: latest_quotes(
                nc, window.shard, window.market, [price.resource for price in window.prices]
            ),
            publish=BatchSink(_quote_publisher(publisher)),
        )
        run_flow(flow)


def _quote_publisher(publisher: ResultsPublisher) -> Callable[[Sequence[OutboundMessage]], None]:
    """Brings quotes into the log, those of a market at once; the ones that are too late stay out.

    A price that nobody quoted in time is of no use later: the next window brings another.
    """

    def publish(quotes: Sequence[OutboundMessage]) -> None:
        oldest_ms = time.time_ns() // NS_PER_MS - OLDEST_QUOTE_MS
        in_time = [quote for quote in quotes if uuid7_ms(quote.msg_id) >= oldest_ms]
        for _market, of_market in groupby(in_time, key=_market_of):
            publisher.publish(list(of_market))

    return publish


def _market_of(quote: OutboundMessage) -> str:
    return quote.subject.split(".")[1]


@contextmanager
def pricing_beside(servers: Servers) -> Iterator[None]:
    """Keep a pricing process running beside the block, and end it with the block.

    Without it allocation clears at the last known prices.
    """
    stop = threading.Event()
    keeper = threading.Thread(
        target=lambda: keep_running(
            lambda: start_pricing(servers), stop, name="the pricing process"
        ),
        name="pricing",
    )
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def start_pricing(servers: Servers) -> Process:
    """Start the process; it ends when its standard input is closed."""
    return child_process.start(__name__, servers)


if __name__ == "__main__":
    sys.exit(child_process.child_main("pricing", Servers, run_pricing))
