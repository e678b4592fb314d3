"""A whole deployment for a test: real servers, the flow in a thread, the service for questions."""

import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from threading import Event, Thread
from typing import Final

import psycopg

from connectors.embedded.servers import Servers
from connectors.nats.commands import CommandClient, open_commands
from flows.queries.service import serving_queries
from flows.runtime import supervisor as deployment
from flows.runtime.servers import Servers as Places
from flows.runtime.settings import Settings
from otel.setup import Telemetry
from tests.support.servers import SHARDS, fresh_database, own_nats
from walras_client import WalrasClient, new_event_id
from walras_schemas import CommandBase, CreditsGranted, MarketOpened, ResourceRules, subjects

WINDOW_MS: Final = 200
LOG_BYTES: Final = 64 << 20
WITHIN_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.02
STAKE_MICROS: Final = 1_000_000_000
RESOURCES: Final = {
    "cpu_ms": ResourceRules(supply=50, initial_price_micros=2_000),
    "tokens": ResourceRules(supply=100, initial_price_micros=1_000),
}
KNOWN: Final = "SELECT count(*) FROM walras.accounts WHERE market = %s AND agent_id = ANY(%s)"

_numbers = count()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where it is, and what its operator does there."""

    nats_url: str
    postgres_dsn: str
    commands: CommandClient

    def market(self, *agents: str, name: str | None = None) -> str:
        """A market of its own, open, whose agents have their stake in the ledger."""
        market = name or f"e2e-{next(_numbers)}"
        opened = MarketOpened(event_id=new_event_id(), resources=RESOURCES)
        self.publish(subjects.market(market), opened)
        for agent in agents:
            stake = CreditsGranted(
                event_id=new_event_id(), agent_id=agent, amount_micros=STAKE_MICROS
            )
            self.publish(subjects.grant(market), stake)
        self.until(KNOWN, [market, list(agents)], expected=len(agents))
        return market

    def publish(self, subject: str, command: CommandBase) -> None:
        """Put an operator's command into the log."""
        payload = command.model_dump_json().encode()
        self.commands.publish_command(subject, payload, msg_id=f"{subject} {command.event_id}")

    def until(self, query: str, parameters: list[object], *, expected: object) -> None:
        """Return once the ledger gives the expected value; fails at the deadline."""
        give_up_at_s = time.monotonic() + WITHIN_S
        with psycopg.connect(self.postgres_dsn, autocommit=True) as ledger:
            while (expected,) != ledger.execute(query.encode(), parameters).fetchone():
                assert time.monotonic() < give_up_at_s, f"not so within {WITHIN_S} s: {query}"
                time.sleep(POLL_INTERVAL_S)

    def agent(self, market: str, agent: str) -> AbstractAsyncContextManager[WalrasClient]:
        """The client under test."""
        return WalrasClient.connect(self.nats_url, market=market, agent=agent)


@contextmanager
def deployed(servers: Servers, *, telemetry: Telemetry | None = None) -> Iterator[Deployment]:
    """A deployment with a nats-server and a database of its own."""
    with (
        own_nats() as nats_url,
        fresh_database(servers.postgres_dsn) as postgres_dsn,
        running(nats_url, postgres_dsn, telemetry=telemetry),
        open_commands(nats_url) as commands,
    ):
        yield Deployment(nats_url, postgres_dsn, commands)


@contextmanager
def running(
    nats_url: str, postgres_dsn: str, *, shards: int = SHARDS, telemetry: Telemetry | None = None
) -> Iterator[None]:
    """The flow and the service for questions, until the block ends."""
    settings = Settings(
        nats_url=nats_url,
        postgres_dsn=postgres_dsn,
        shards=shards,
        window_ms=WINDOW_MS,
        stream_max_bytes=LOG_BYTES,
    )
    places, stop, ended = Places(nats_url, postgres_dsn), Event(), Event()
    deployment.prepare(settings, places)

    def flow() -> None:
        deployment.run(settings, places, stop, telemetry=telemetry)
        ended.set()

    with serving_queries(nats_url, postgres_dsn):
        thread = Thread(target=flow, name="flow")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(WITHIN_S)
            assert ended.is_set(), "the flow failed, or did not stop"
