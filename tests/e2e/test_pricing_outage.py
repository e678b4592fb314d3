"""The pricing process, stopped and killed beside a market that keeps trading."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import psycopg
import pytest
from psycopg.rows import dict_row
from uuid_utils import uuid7

from connectors.nats.background_loop import open_on_loop
from connectors.nats.commands import CommandClient, open_commands
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.postgres.connection import connect
from flows.runtime import child_process, pricing_process
from flows.runtime import supervisor as deployment
from flows.runtime.child_process import Process, end
from flows.runtime.pricing_plan import Choices, read_past, save_choices
from flows.runtime.pricing_process import pricing_beside, start_pricing
from flows.runtime.servers import Servers, open_servers
from flows.runtime.settings import Settings
from operators.pricing_rules import Eip1559, Fixed, Vwap
from operators.quote import QuotePrices
from tests.crash.due import due_windows
from tests.crash.windows import empty_windows
from tests.support.eventually import eventually
from walras_client.nats.broker import BrokerAddress
from walras_schemas import MarketWindow, ResourcePrice, subjects

WALRAS: Final = Path(sys.executable).with_name("walras")
WINDOW_MS: Final = 500
STALE_AFTER: Final = 4
PLAN: Final[Choices] = {"cpu": Vwap(windows=3), "gpu": Eip1559()}
WITHIN_S: Final = 60.0

LAST_CLEARED: Final = """
    SELECT resource, reference_micros, reserve_micros, clearing_micros, supply, demanded, wanted,
        sold, stale
    FROM walras.prices WHERE sold > 0 AND window_id = (
        SELECT max(window_id) FROM walras.prices WHERE sold > 0
    ) ORDER BY resource
"""
COMMITTED: Final = "SELECT max(last_seq) FROM walras.windows"
REFUSED_QUOTES: Final = """
    SELECT reason FROM walras.commands WHERE type = 'price_quoted' AND status = 'rejected'
"""

pytestmark = pytest.mark.timeout(300)


@dataclass(slots=True)
class Market:
    """An open market with an agent who keeps bidding."""

    servers: Servers
    log: CommandClient
    ledger: psycopg.Connection
    dice: Random = field(default_factory=lambda: Random(3))
    bid_in: int = -1

    def send(self, subject: str, **fields: Any) -> None:
        event_id = str(uuid7())
        payload = json.dumps({"event_id": event_id, **fields}).encode()
        self.log.publish_command(subject, payload, msg_id=event_id)

    def open(self) -> None:
        save_choices(self.servers.postgres_dsn, "m1", PLAN)
        listed = {"supply": 10, "initial_price_micros": 1000}
        self.send(
            subjects.market("m1"),
            type="market_opened",
            stale_after_windows=STALE_AFTER,
            resources={"cpu": listed, "gpu": {**listed, "reserve_ratio_ppm": 1_000_000}},
        )
        self.send(subjects.grant("m1"), type="credits_granted", agent_id="a1", amount_micros=10**15)

    def bid(self) -> None:
        """More than there is, once per window."""
        if self.bid_in == current_window():
            return
        self.bid_in = current_window()
        for resource in [*PLAN] * 3:
            self.send(
                subjects.bid("m1", "a1"),
                type="bid_placed",
                resource=resource,
                quantity=self.dice.randint(4, 9),
                unit_price_micros=self.dice.randint(5000, 9000),
            )

    def bid_until(self, condition: Callable[[], bool]) -> None:
        """Look at every window that this bids in, until one shows what is waited for."""

        def bid_and_look() -> bool:
            self.bid()
            return condition()

        eventually(bid_and_look, within_s=WITHIN_S)

    def cleared(self) -> dict[str, ResourcePrice]:
        """What the last window with sales cleared at, by resource."""
        with self.ledger.cursor(row_factory=dict_row) as cursor:
            rows = [ResourcePrice(**row) for row in cursor.execute(LAST_CLEARED)]
        return {row.resource: row for row in rows}

    def is_stale(self) -> bool:
        cleared = self.cleared().values()
        return bool(cleared) and all(row.stale for row in cleared)

    def is_fresh(self) -> bool:
        cleared = self.cleared().values()
        return bool(cleared) and not any(row.stale for row in cleared)

    def quotes(self) -> list[tuple[str, str, int]]:
        """All quotes in the log: subject, event id and price of each message."""
        return [
            (line.subject, quoted["event_id"], quoted["price_micros"])
            for line in export_log(self.servers.nats_url, shard=0)
            if ".price." in line.subject
            for quoted in [json.loads(line.payload)]
        ]

    def last_quote(self, resource: str) -> int:
        """The price that the resource has from its latest quote in the log."""
        subject = subjects.price("m1", resource)
        return next(price for quoted, _, price in reversed(self.quotes()) if quoted == subject)

    def last_command(self) -> int:
        """The sequence of the last message in the log that is no tick."""
        lines = export_log(self.servers.nats_url, shard=0)
        return max(line.seq for line in lines if not line.subject.startswith("clock."))

    def has_quotes(self, count: int) -> bool:
        return len(self.quotes()) >= count

    def undisturbed_quotes(self) -> list[tuple[str, str, int]]:
        """What a pricing flow that never stopped quotes from the windows in the ledger."""
        step = QuotePrices(
            lambda _market: PLAN, lambda *asked: read_past(self.ledger, *asked), lambda _window: {}
        )
        return [
            (quote.subject, quote.msg_id, json.loads(quote.payload)["price_micros"])
            for _, content in list(due_windows(self.ledger))
            for quote in step(MarketWindow.model_validate_json(json.dumps(content)))
        ]


def current_window() -> int:
    """The window in which a command sent now would arrive."""
    return time.time_ns() // (WINDOW_MS * 1_000_000)


@pytest.fixture(scope="module")
def market() -> Iterator[Market]:
    """A market in a deployment without pricing, in this process."""
    with (
        TemporaryDirectory(prefix="walras-pricing-", ignore_cleanup_errors=True) as home,
        deployed(Settings(home=Path(home) / "w", window_ms=WINDOW_MS)) as servers,
        open_commands(servers.nats_url) as log,
        connect(servers.postgres_dsn) as ledger,
    ):
        opened = Market(servers, log, ledger)
        opened.open()
        yield opened


@contextmanager
def deployed(settings: Settings) -> Iterator[Servers]:
    stop = threading.Event()
    with open_servers(settings) as servers:
        deployment.prepare(settings, servers)
        allocation = threading.Thread(target=deployment.run, args=(settings, servers, stop))
        allocation.start()
        try:
            yield servers
        finally:
            stop.set()
            allocation.join()


def killed(process: Process) -> None:
    process.kill()
    process.wait()
    end(process)


def test_the_market_outlives_its_pricing(market: Market) -> None:
    """A price feed that can stop the auction would make every agent wait for it."""
    pricing = start_pricing(market.servers)
    market.bid_until(market.is_fresh)
    killed(pricing)
    market.bid_until(lambda: market.is_stale() and set(PLAN) == set(market.cleared()))
    last_known = market.cleared()
    assert {"cpu", "gpu"} == set(last_known)
    assert {True} == {price["stale"] for price in shown_prices(market.servers)}
    market.bid_until(lambda: market.cleared() != last_known)
    assert market.is_stale()
    assert [last_known[name].reference_micros for name in PLAN] == [
        market.cleared()[name].reference_micros for name in PLAN
    ]
    pricing = start_pricing(market.servers)
    market.bid_until(market.is_fresh)
    end(pricing)
    assert 0 == pricing.returncode


def shown_prices(servers: Servers) -> list[dict[str, Any]]:
    """What `walras prices` shows of the last window."""
    environment = {
        **os.environ,
        "WALRAS_NATS_URL": servers.plain_nats_url,
        "WALRAS_NATS_CREDS": str(BrokerAddress.parse(servers.nats_url).creds),
        "WALRAS_POSTGRES_DSN": servers.postgres_dsn,
    }
    command = [str(WALRAS), "prices", "m1", "--last", "1", "--json"]
    ended = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    shown: list[dict[str, Any]] = json.loads(ended.stdout)
    return shown


def test_kills_change_no_quote_and_repeat_none(market: Market) -> None:
    """Whatever a kill leaves half done, the log must read as if there had been none."""
    for few in (1, 2, 5, 8):
        enough = len(market.quotes()) + few
        pricing = start_pricing(market.servers)
        market.bid_until(partial(market.has_quotes, enough))
        killed(pricing)
    pricing = start_pricing(market.servers)
    market.bid_until(market.is_fresh)
    eventually(lambda: is_at_rest(market), within_s=WITHIN_S)
    end(pricing)
    quotes = market.quotes()
    assert {1} == set(Counter(event_id for _, event_id, _ in quotes).values())
    assert sorted(market.undisturbed_quotes()) == sorted(quotes)
    assert [] == market.ledger.execute(REFUSED_QUOTES).fetchall()


def test_windows_that_were_thrown_away_change_no_quote(market: Market) -> None:
    """Retention forgets and operators delete: what only the ledger has must count in each price."""
    market.bid_until(market.is_stale)
    with open_on_loop(connected(market.servers.nats_url, name="operator")) as nc:
        empty_windows(nc)
    before = set(market.quotes())

    def new_quotes() -> set[tuple[str, str, int]]:
        return set(market.quotes()) - before

    pricing = start_pricing(market.servers)
    market.bid_until(lambda: {"cpu", "gpu"} == {of.rpartition(".")[2] for of, _, _ in new_quotes()})
    end(pricing)
    assert new_quotes() <= set(market.undisturbed_quotes())


def test_a_choice_that_changed_before_a_kill_quotes_no_window_again(market: Market) -> None:
    """A window that was left out by the old choice must not set the price after newer ones did."""
    pricing = start_pricing(market.servers)
    market.bid_until(market.is_fresh)
    save_choices(market.servers.postgres_dsn, "m1", {"gpu": Fixed(price_micros=7)})
    market.bid_until(lambda: market.last_quote("gpu") == 7)
    killed(pricing)
    before = market.quotes()
    pricing = start_pricing(market.servers)
    market.bid_until(partial(market.has_quotes, len(before) + 4))
    end(pricing)
    ids = [event_id for subject, event_id, _ in market.quotes() if subject.endswith(".gpu")]
    assert sorted(ids) == ids


def is_at_rest(market: Market) -> bool:
    """True once all windows are in the ledger, and none of them is due to be quoted."""
    last_seq = market.last_command()
    (committed,) = market.ledger.execute(COMMITTED).fetchone() or (0,)
    complete = sorted(market.undisturbed_quotes()) == sorted(market.quotes())
    return complete and committed >= last_seq == market.last_command()


def test_a_deployment_starts_its_pricing_again(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that died in the night must not leave stale prices until somebody looks."""
    started: list[Process] = []

    def start(servers: Servers) -> Process:
        started.append(start_pricing(servers))
        return started[-1]

    monkeypatch.setattr(child_process, "RESTART_MIN_S", 0.1)
    monkeypatch.setattr(pricing_process, "start_pricing", start)
    with pricing_beside(market.servers):
        eventually(lambda: started)
        started[0].kill()
        market.bid_until(lambda: len(started) > 1 and market.is_fresh())
    assert [-9, 0] == [process.returncode for process in started]
