"""The verdict on a run: everything that it left, checked, and what it came to in figures.

Promise: the servers are read as they are, past the lines; nothing is changed in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection

from connectors.files.logfile import write_log
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.nats.subjects import stream_name
from connectors.postgres.connection import connect
from flows.replay import replay
from tests.chaos.checker import (
    ONE_OUTCOME,
    Check,
    check_acknowledged,
    check_books,
    check_contiguous,
    check_outcomes,
    check_replay,
    outcome_places,
)
from tests.chaos.log import Log
from tests.chaos.run import Run, say
from tests.chaos.schedule import KILLS
from tests.chaos.watchers import WINDOW_MS, Recovery, commits, condensed, recovery
from tests.chaos.workers import wrong_end
from tests.crash.books import Books, books, database, read_up_to
from tests.crash.due import due_results, due_windows
from tests.crash.listener import commit_times_ns, wrong_results
from tests.crash.windows import Window, published_windows, wrong_windows
from walras_client.nats.jetstream import ask

LOG: Final = "log.jsonl"
ALL_WINDOWS: Final = "each window of an active market is in its stream once, in order"
LIVE_RESULTS: Final = "a live result came once at most, after its commit, as the ledger has it"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left outside its ledger, and what a ledger must be by that."""

    run: Run
    log: Log
    stream: Mapping[str, Any]
    """What the server said of the stream of the log before it was read."""
    windows: list[Window]
    """The stream of windows."""
    of_replay: Books


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    evidence: Evidence
    checks: list[Check]
    recoveries: list[Recovery]
    commands: int
    windows: int

    @property
    def run(self) -> Run:
        return self.evidence.run

    @property
    def holds(self) -> bool:
        """The verdict."""
        return all(check.holds for check in self.checks)


def judge(run: Run) -> Report:
    """Check everything that the run left."""
    say("checking")
    evidence = gather(run)
    checks = check_all(evidence, run.servers.postgres_dsn)
    with connect(run.servers.postgres_dsn) as ledger:
        committed = commits(ledger)
    found = [recovery(f, committed, run.injected) for f in run.injected if f.kind in KILLS]
    return Report(
        evidence=evidence,
        checks=checks,
        recoveries=[each for each in found if each],
        commands=sum(check.of for check in checks if check.promise == ONE_OUTCOME),
        windows=len(committed),
    )


def gather(run: Run) -> Evidence:
    """Read the log and the windows, and replay the log as far as the ledger has read it."""
    log = Log()
    url, file = run.servers.nats_url, run.pair.folder / LOG
    with connect(run.servers.postgres_dsn) as ledger:
        next_seq = read_up_to(ledger)
    with open_on_loop(connected(url, name="checker")) as nc:
        stream = run_sync(ask(nc, f"STREAM.INFO.{stream_name(0)}"))["state"]
        lines = log.noted(export_log(url, shard=0))
        write_log(file, (line for line in lines if line.seq < next_seq))
        windows = published_windows(nc)
    with database(run.servers.postgres_dsn) as dsn:
        replay(file, postgres_dsn=dsn, window_ms=WINDOW_MS)
        return Evidence(run, log, stream, windows, books(dsn))


def check_all(evidence: Evidence, dsn: str) -> list[Check]:
    """Every check, with the ledger that is there."""
    run, log = evidence.run, evidence.log
    with connect(dsn) as ledger:
        outcomes = judged_outcomes(evidence, ledger)
        windows = judged_windows(evidence, ledger)
        results = judged_results(run, ledger)
    return [
        check_acknowledged(run.tally.acknowledged, log),
        Check(
            "what was sent again under its id is in the log once",
            run.tally.acknowledgements,
            run.tally.contradictions,
        ),
        check_contiguous(log, evidence.stream),
        outcomes,
        *check_books(dsn),
        Check("readers saw all balances sum to zero", run.reader.reads, run.reader.wrong),
        windows,
        results,
        check_replay(books(dsn), evidence.of_replay),
        _ends(run),
        _lags(run),
    ]


def judged_outcomes(evidence: Evidence, ledger: Connection) -> Check:
    """The outcomes of a ledger beside the log, and beside what publishers know of it."""
    known = max(evidence.run.tally.acknowledged, default=0)
    places, next_seq = outcome_places(ledger), read_up_to(ledger)
    return check_outcomes(evidence.log, places, next_seq=next_seq, acknowledged=known)


def judged_windows(evidence: Evidence, ledger: Connection) -> Check:
    """The stream of windows beside the ledger."""
    wrong = wrong_windows(evidence.windows, list(due_windows(ledger)))
    return Check(ALL_WINDOWS, len(evidence.windows), wrong)


def judged_results(run: Run, ledger: Connection) -> Check:
    """What was heard live beside the ledger; how much was missed depends on the faults."""
    due = {key: condensed(content) for key, content in due_results(ledger)}
    wrong = wrong_results(run.heard, due, commit_times_ns(ledger))
    return Check(LIVE_RESULTS, len(run.heard), run.listener.invalid + wrong)


def _ends(run: Run) -> Check:
    wrong = [end for end in map(wrong_end, run.workers) if end]
    return Check("every worker ended as it had to", len(run.workers), wrong)


def _lags(run: Run) -> Check:
    late = [f"not after storm {n}" for n, lag_s in enumerate(run.lags_s, 1) if lag_s is None]
    return Check("the lag returned to 0 when it was quiet", len(run.lags_s), late + run.unfinished)
