"""One command for a newcomer: a market of simulated agents, live, and then an audit of its ledger.

Promise: exit code 0 means that the demo audited its own ledger and every check held; a run that was
stopped loses nothing, and the next one in the same folder continues with the same market.
"""

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

from psycopg import Connection
from rich.console import Console

from connectors.duckdb.ledger import open_ledger
from connectors.nats.commands import open_commands
from connectors.nats.log_checks import log_ends
from connectors.nats.request_reply import is_served
from connectors.nats.subjects import shard_of
from connectors.postgres.connection import connect
from connectors.postgres.reads.progress import read_progress
from flows.analytics.answers import answer_demo
from flows.analytics.questions import DemoQuestion
from flows.cli.console import addresses, print_data
from flows.cli.demo.audit import audit
from flows.cli.demo.progress import progress, stage
from flows.cli.demo.report import Report, show_addresses, show_next_steps
from flows.cli.installation import command
from flows.queries.service import NAME as QUERIES
from flows.queries.service import serving_queries
from flows.runtime import supervisor as deployment
from flows.runtime.deployment import Announce, claimed, joined
from flows.runtime.pricing_process import pricing_beside
from flows.runtime.servers import Servers, broker_address, open_servers
from flows.runtime.settings import Settings
from flows.runtime.supervisor import prepare
from flows.simulation.sender import Acknowledged, SendStats
from flows.simulation.session import MS_PER_S, Run, run_population
from state.errors import WalrasError
from walras_client import new_event_id
from walras_schemas import TREASURY, MarketOpened, ResourceRules, message_id, subjects

MARKET: Final = "demo"
RESOURCES: Final = {
    "tokens": ResourceRules(supply=200_000, initial_price_micros=1_000, reserve_micros=700),
    "cpu_ms": ResourceRules(supply=60_000, initial_price_micros=500, reserve_micros=350),
    "memory_mb": ResourceRules(supply=65_536, initial_price_micros=200, reserve_micros=140),
    "attention": ResourceRules(supply=600, initial_price_micros=200_000, reserve_micros=120_000),
}
"""What a window offers: a model's tokens, processor time, memory, seconds of human attention."""

INTERRUPTED: Final = 130
COMMIT_WINDOWS: Final = 5
COMMIT_DEADLINE_S: Final = 30
STOP_DEADLINE_S: Final = 60
POLL_INTERVAL_S: Final = 0.1
PADDING: Final = re.compile(r" +$", re.MULTILINE)
WIDTH: Final = 80
"""What every table fits: a narrower terminal wraps lines, and nothing is cut."""


def demo(settings: Settings, *, agents: int = 200, seconds: int = 20, seed: int = 7) -> int:
    """Run the demo and give its exit code; a failure, a failed audit too, is a `WalrasError`."""
    status = Console(stderr=True, highlight=False)
    run = Run()
    try:
        with _deployment(settings, status) as place:
            status.print(_what_happens(agents, place.settings.window_ms), soft_wrap=True)
            with place.flow() as flow:
                session = DemoSession(place.settings, place.servers, flow, run, status)
                with place.pricing():
                    opening = session.open_market()
                    asyncio.run(session.trade(agents=agents, seconds=seconds, seed=seed))
                session.settle(opening.shard)
            _report(place, run.stats, opening)
    except KeyboardInterrupt:
        kept = len(run.stats.acknowledged)
        status.print(
            f"\nStopped. The {kept:,} commands that the log acknowledged are safe: the next run in "
            "this folder settles what is open and continues.",
            soft_wrap=True,
        )
        return INTERRUPTED
    return 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo runs: beside a deployment that runs already, or as one."""

    settings: Settings
    servers: Servers
    named: Settings
    """What the user said of servers, before a deployment was found."""
    announce: Announce | None
    """None where another deployment settles the log."""

    @contextmanager
    def flow(self) -> Iterator[Future[None] | None]:
        """A flow that settles the log during the block: one of ours, if no other runs."""
        if self.announce is None:
            yield None
            return
        with flow_running(self.settings, self.servers) as flow:
            self.announce(self.servers)
            yield flow

    def pricing(self) -> AbstractContextManager[None]:
        """Prices that follow the market during the block."""
        return pricing_beside(self.servers) if self.announce else nullcontext()


def _what_happens(agents: int, window_ms: int) -> str:
    return (
        f"{agents} agents bid credits for {', '.join(RESOURCES)}. "
        f"Every {window_ms / MS_PER_S:g} s the market clears."
    )


@contextmanager
def _deployment(settings: Settings, status: Console) -> Iterator[Place]:
    """The deployment that runs on these servers, or servers for one of our own."""
    running = joined(settings) or settings
    if running.nats_url and is_served(broker_address(running, running.nats_url), QUERIES):
        status.print("A deployment runs already: its market gets agents for a while")
        with open_servers(running) as servers:
            yield Place(running, servers, settings, announce=None)
        return
    with ExitStack() as stack:
        with stage(status, "Starting the servers: NATS for the log, Postgres for the ledger"):
            announce = stack.enter_context(claimed(settings, "demo"))
            servers = stack.enter_context(open_servers(settings))
            prepare(settings, servers)
        yield Place(settings, servers, settings, announce)


@contextmanager
def flow_running(settings: Settings, servers: Servers) -> Iterator[Future[None]]:
    """Run the flow and the query service beside the block.

    The future is done when the flow has ended, however it did.
    """
    stop = Event()
    ended: Future[None] = Future()
    ended.set_running_or_notify_cancel()

    def run() -> None:
        try:
            deployment.run(settings, servers, stop)
        except BaseException as failure:  # noqa: BLE001 - raised where the future is read
            ended.set_exception(failure)
        else:
            ended.set_result(None)

    Thread(target=run, name="flow", daemon=True).start()
    try:
        with serving_queries(servers.nats_url, servers.postgres_dsn):
            yield ended
    finally:
        stop.set()
        _await_end(ended)


def _await_end(ended: Future[None]) -> None:
    """Raise what ended the flow, if anything but its stop did."""
    if not wait([ended], timeout=STOP_DEADLINE_S).done:
        raise WalrasError(
            "the flow did not stop in time",
            detail=f"the stop was requested {STOP_DEADLINE_S} seconds ago",
            hint="The ledger is safe: run the demo again",
        )
    ended.result()


@dataclass(frozen=True, slots=True)
class DemoSession:
    """The demo between the start of the flow and its stop."""

    settings: Settings
    servers: Servers
    flow: Future[None] | None
    run: Run
    status: Console

    def open_market(self) -> Acknowledged:
        """Open the market, or open it again as it was; return once that is in the ledger."""
        command = MarketOpened(event_id=new_event_id(), resources=RESOURCES)
        with stage(self.status, f"Opening the market {MARKET}"):
            with open_commands(self.servers.nats_url) as client:
                receipt = client.publish_command(
                    subjects.market(MARKET),
                    command.model_dump_json().encode(),
                    msg_id=message_id(MARKET, TREASURY, [command.event_id]),
                )
            opening = Acknowledged(
                event_id=command.event_id,
                sender=TREASURY,
                shard=shard_of(receipt.stream),
                seq=receipt.seq,
            )
            self.run.stats.acknowledged.append(opening)
            self._wait_for_commit(opening.shard, opening.seq)
        return opening

    async def trade(self, *, agents: int, seconds: int, seed: int) -> None:
        """Let the population trade for so long, while the flow lives."""
        ends = set() if self.flow is None else {asyncio.wrap_future(self.flow)}
        async with progress(self.status, self.run, seconds=seconds):
            trading: asyncio.Future[Any] = asyncio.create_task(
                run_population(
                    self.settings,
                    self.servers,
                    market=MARKET,
                    agents=agents,
                    rate=None,
                    seconds=seconds,
                    seed=seed,
                    run=self.run,
                )
            )
            await asyncio.wait({*ends, trading}, return_when=asyncio.FIRST_COMPLETED)
            self._check_flow()
            await trading

    def settle(self, shard: int) -> None:
        """Return once everything that is in the log now is in the ledger, also the last quotes."""
        with stage(self.status, "Waiting until the last window is committed"):
            end = log_ends(self.servers.nats_url, shards=self.settings.shards)[shard]
            self._wait_for_commit(shard, end.last_seq)

    def _wait_for_commit(self, shard: int, last_seq: int) -> None:
        limit_s = COMMIT_DEADLINE_S + COMMIT_WINDOWS * self.settings.window_ms / MS_PER_S
        deadline_s = time.monotonic() + limit_s
        with closing(connect(self.servers.postgres_dsn)) as ledger:
            while (committed := _last_committed(ledger, shard)) < last_seq:
                self._check_flow()
                if time.monotonic() > deadline_s:
                    raise _uncommitted(committed, last_seq, limit_s)
                time.sleep(POLL_INTERVAL_S)

    def _check_flow(self) -> None:
        if self.flow is not None and self.flow.done():
            self.flow.result()
            raise WalrasError(
                "the flow ended before the demo did",
                detail="it was not stopped, and reported no failure",
                hint="Run the demo again: it resumes where the ledger ends",
            )


def _last_committed(ledger: Connection, shard: int) -> int:
    progress = read_progress(ledger).get(shard)
    return progress.next_seq - 1 if progress else 0


def _uncommitted(committed: int, last_seq: int, waited_s: float) -> WalrasError:
    return WalrasError(
        "not everything that the log acknowledged is in the ledger",
        detail=f"committed up to {committed} of {last_seq} after {waited_s:.0f} s",
        hint="Run the demo again: it resumes where the ledger ends",
    )


def _report(place: Place, stats: SendStats, opening: Acknowledged) -> None:
    """Print the tables and what the audit found; a failed check ends the demo as a failure."""
    out = Console(highlight=False)
    out = Console(highlight=False, width=max(out.width, WIDTH) if out.is_terminal else WIDTH)
    with open_ledger(place.servers.postgres_dsn) as ledger:
        ((since,),) = answer_demo(
            ledger, DemoQuestion.OPENING, market=MARKET, event_id=opening.event_id
        ).rows
        checks = audit(ledger, market=MARKET, acknowledged=stats.acknowledged)
        with out.capture() as shown:
            Report(ledger, MARKET, since, stats, checks).show(out)
    print_data(PADDING.sub("", shown.get()))
    failed = [check.promise for check in checks if not check.holds]
    if failed:
        raise WalrasError(
            "the audit failed",
            detail="it does not hold that " + ", nor that ".join(failed),
            hint="Keep the folder: `walras log export` and `walras replay` show what the log gives",
        )
    show_next_steps(out, shard=opening.shard)
    show_addresses(out, _addresses(place))


def _addresses(place: Place) -> list[str]:
    lines = addresses(place.named, place.servers)
    if place.announce is None or place.named.nats_url is not None:
        return lines
    return [
        f"data      {place.named.home.resolve()}",
        *lines,
        f"The servers stop with the demo. Start them again:\n   {command()} up",
    ]
