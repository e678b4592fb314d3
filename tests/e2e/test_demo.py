"""`walras demo` as a newcomer runs it: again and again, with a Ctrl-C, and on a tampered ledger."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from flows.runtime.servers import Servers, open_servers
from flows.runtime.settings import Settings
from tests.support.eventually import eventually

WALRAS = Path(sys.executable).with_name("walras")
AGENTS = 21
CHECKS = 12
DEADLINE_S = 100
STEP = re.compile(r"^   (?:\S*uv run )?\S*walras (.+)$")
ACKNOWLEDGED = re.compile(r"each of the ([\d,]+) acknowledged commands has one outcome")
CLEARED = re.compile(r"[1-9]\d* windows cleared")
STOPPED = re.compile(r"The ([\d,]+) commands that the log acknowledged are safe")
DIGEST = re.compile(r"Final digest of shard 0\s+([0-9a-f]{64})")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def shell() -> Iterator["Shell"]:
    """A folder where a demo has run and its servers keep running, so that commands need not wait.

    It is not one of pytest's: those are closed to the user that Postgres runs as.
    """
    with folder() as home, open_servers(Settings(home=home / "w")) as running:
        yield Shell(home, running)


@contextmanager
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="walras-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def shown(shell: "Shell") -> "Ended":
    """The output of a demo."""
    demo = shell.demo(seconds=8)
    assert 0 == demo.code, demo.err
    return demo


@dataclass(frozen=True, slots=True)
class Shell:
    """Somebody who types commands in a folder."""

    home: Path
    servers: Servers | None = None

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [WALRAS, *words],
            cwd=self.home,
            env={**os.environ, "WALRAS_HOME": str(self.home / "w")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> "Ended":
        with self.start(*words) as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        return Ended(process.returncode, out, err)

    def demo(self, *, seconds: int) -> "Ended":
        return self.run("demo", "--agents", str(AGENTS), "--seconds", str(seconds))

    def interrupted_demo(self) -> "Ended":
        """A Ctrl-C in the middle, once windows have cleared."""
        with self.start("demo", "--agents", str(AGENTS), "--seconds", "60") as process:
            assert process.stderr is not None
            for line in process.stderr:
                if CLEARED.search(line):
                    break
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=DEADLINE_S)
        return Ended(process.returncode, out, err)


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def number(self, pattern: re.Pattern[str]) -> int:
        found = pattern.search(self.out + self.err)
        assert found is not None, self.out + self.err
        return int(found[1].replace(",", ""))

    def figures(self, name: str) -> list[int]:
        """A row of the figures: this run, and in all."""
        (row,) = [line.split() for line in self.out.splitlines() if line.strip().startswith(name)]
        return [int(figure.replace(",", "")) for figure in row[1:]]

    @property
    def digest(self) -> str:
        found = DIGEST.search(self.out)
        assert found is not None, self.out + self.err
        return found[1]

    @property
    def steps(self) -> list[list[str]]:
        """The commands it suggests next."""
        found = [STEP.match(line) for line in self.out.splitlines()]
        return [shlex.split(step[1]) for step in found if step]


def test_a_market_continues_after_ctrl_c() -> None:
    """A newcomer runs it again: nothing may be lost, counted twice, or left running."""
    with folder() as home:
        shell = Shell(home)
        first = shell.demo(seconds=3)
        assert 0 == first.code, first.err
        stopped = shell.interrupted_demo()
        assert 130 == stopped.code, stopped.err
        assert "Traceback" not in stopped.err
        eventually(lambda: not (home / "w" / "servers.json").exists())
        second = shell.demo(seconds=3)
        assert 0 == second.code, second.err
        query = "SELECT (SELECT count(*) FROM bids) + (SELECT count(*) FROM commands) AS commands"
        (in_all,) = json.loads(shell.run("sql", query, "--json").out)

    assert (CHECKS, 0) == (second.out.count("✓"), second.out.count("✗"))
    assert first.digest != second.digest
    (alone, same), (ours, whole) = first.figures("windows"), second.figures("windows")
    assert alone == same
    assert whole > ours + alone
    counted = [first.number(ACKNOWLEDGED), stopped.number(STOPPED), second.number(ACKNOWLEDGED)]
    assert in_all["commands"] >= sum(counted)


def test_its_tables_show_the_market(shown: "Ended") -> None:
    """A demo without a rejection, or with one strategy, shows no market."""
    for text in (
        *("tokens", "cpu_ms", "memory_mb", "attention"),
        *("truthful", "bundler", "pacer", "deadline", "follower", "patient", "bargain"),
        *("below_reserve", "publish to commit, p50 / p99", "bids per second"),
        *("NATS      nats://127.0.0.1:", "Postgres  psql 'postgresql://walras_reader@"),
    ):
        assert text in shown.out
    assert "…" not in shown.out, "a number that is cut is no number"
    assert [] == [line for line in shown.out.splitlines() if line.endswith(" ")]
    assert [] == [
        line for line in shown.out.splitlines() if len(line) > 80 and "postgresql://" not in line
    ]


def test_its_prices_move(shell: "Shell", shown: "Ended") -> None:
    """Prices that follow demand are what the market is for: here they must be seen to."""
    assert 0 == shown.code
    query = "SELECT resource, count(DISTINCT reference_micros) AS prices FROM prices GROUP BY ALL"
    moved = {
        each["resource"]: each["prices"]
        for each in json.loads(shell.run("sql", query, "--json").out)
    }
    assert all(prices > 1 for prices in moved.values()), moved


def test_what_it_suggests_next_works(shell: "Shell", shown: "Ended") -> None:
    """The first command a newcomer copies must not fail."""
    assert {"demo", "up", "sql", "replay"} <= {words[0] for words in shown.steps}
    for words in shown.steps:
        if words[0] not in {"demo", "up"}:
            ended = shell.run(*words)
            assert 0 == ended.code, (words, ended.err)
            assert words[0] != "replay" or shown.digest == json.loads(ended.out)["digest"]


def test_it_fits_any_terminal(shell: "Shell", shown: "Ended") -> None:
    """A terminal of 40 columns wraps what it must; it gets the same figures."""
    assert 0 == shown.code
    narrow = subprocess.run(
        [WALRAS, "demo", "--agents", str(AGENTS), "--seconds", "1"],
        cwd=shell.home,
        env={**os.environ, "WALRAS_HOME": str(shell.home / "w"), "COLUMNS": "40"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert "…" not in narrow.stdout


def test_a_failed_audit_ends_with_exit_code_1(shell: "Shell", shown: "Ended") -> None:
    """An audit that says all is well whatever it finds is decoration."""
    assert shell.servers is not None
    assert "✗" not in shown.out
    with psycopg.connect(shell.servers.postgres_dsn, autocommit=True) as ledger:
        ledger.execute(
            "UPDATE ledger.account SET balance_micros = balance_micros + 1 WHERE agent_id = 'house'"
        )
    tampered = shell.demo(seconds=1)
    assert 1 == tampered.code
    assert "✗  the balances of a market sum to zero" in tampered.out
    assert "error: the audit failed" in tampered.err
    assert not tampered.steps
