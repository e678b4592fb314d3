"""What makes a figure count: the ledger passes the audit, and a replay of the log gives it again.

Promise: a run whose ledger is wrong, or is not what the log gives, raises and leaves no figure.
"""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.harness.instrumented_flow import SHARD
from bench.harness.isolated import isolated_process
from bench.harness.testbed import Testbed
from connectors.duckdb.ledger import open_ledger
from connectors.files.logfile import write_log
from connectors.nats.export import export_log
from connectors.postgres.connection import connect
from flows.analytics.answers import answer
from flows.analytics.questions import Question
from flows.replay import replay
from flows.runtime.servers import Servers
from state.errors import LedgerDiverged


def audit(ledger: Servers) -> int:
    """Audit the ledger as `walras demo` does; the number of promises checked."""
    with closing(open_ledger(ledger.postgres_dsn)) as connection:
        checks = answer(connection, Question.AUDIT).rows
    broken = [f"{promise}: {count} times not" for promise, count in checks if count]
    if broken:
        raise LedgerDiverged(
            "the benchmark's ledger fails its audit",
            detail="; ".join(broken),
            hint="This is a bug: no figure of this run counts",
        )
    return len(checks)


def replay_digest(testbed: Testbed, *, shard: int = SHARD) -> str:
    """The last digest of the whole log, replayed into an empty ledger in a process of its own."""
    with testbed.database() as empty, TemporaryDirectory() as folder, isolated_process() as process:
        file = Path(folder) / "log.jsonl"
        write_log(file, export_log(testbed.servers.nats_url, shard=shard))
        report = process.run(
            replay, file, postgres_dsn=empty.postgres_dsn, window_ms=testbed.settings.window_ms
        )
    return report.digest


def require_same(digest: str, *, replayed: str) -> None:
    """Require that the measured ledger is what the log gives."""
    if digest != replayed:
        raise LedgerDiverged(
            "the replay of the benchmark's log gave another ledger",
            detail=f"digest {replayed}, the measured run gave {digest}",
            hint="This is a bug: no figure of this run counts",
        )


def shard_digests(ledger: Servers) -> dict[int, str]:
    """The last digest of each shard."""
    with connect(ledger.postgres_dsn) as connection:
        return dict(connection.execute("SELECT shard, encode(digest, 'hex') FROM ledger.shard"))
