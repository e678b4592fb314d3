"""`walras sql` as people and programs use it: terminal, prompt, file, standard input, Ctrl-C."""

import gzip
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from connectors.embedded.servers import Servers
from flows.replay import replay
from tests.golden.logs import WINDOW_MS
from tests.golden.recorded import path_of
from tests.support.servers import SHARDS, fresh_database
from tests.support.shell import DEADLINE_S, WALRAS

LOG: Final = "uniform"
ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[dict[str, str]]:
    """The environment of commands that read one ledger."""
    file = tmp_path_factory.mktemp("sql") / "log.jsonl"
    file.write_bytes(gzip.decompress(path_of(LOG).read_bytes()))
    with fresh_database(servers.postgres_dsn) as dsn:
        replay(file, postgres_dsn=dsn, window_ms=WINDOW_MS, batch_size=100)
        yield os.environ | {
            "WALRAS_POSTGRES_DSN": dsn,
            "WALRAS_NATS_URL": "nats://127.0.0.1:1",
            "WALRAS_NATS_AUTH": "none",
            "WALRAS_SHARDS": str(SHARDS),
            "TERM": "dumb",
        }


def piped(env: dict[str, str], *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [WALRAS, "sql", *words]
    return subprocess.run(
        command,
        env=env,
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def on_terminal(env: dict[str, str], *words: str, typed: str = "") -> tuple[int, str]:
    """The exit code and all that a terminal of 80 columns showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [WALRAS, "sql", *words],
        env=env | {"COLUMNS": "80"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = b""
    while True:
        try:
            read = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        shown += read
    os.close(ours)
    return process.wait(DEADLINE_S), ESCAPES.sub("", shown.decode())


def test_a_terminal_shows_some_rows_and_says_how_many_there_are(env: dict[str, str]) -> None:
    """A million rows that scroll by help nobody, and hide the ones that were looked for."""
    code, shown = on_terminal(env, "SELECT range FROM range(1234567)")
    assert (0, True) == (code, "40 of 1,234,567 rows" in shown)
    assert ["39"] == re.findall(r"^ *(39|40)\r?$", shown, re.MULTILINE)


def test_a_pipe_gets_every_row(env: dict[str, str]) -> None:
    """A program that reads forty rows of a thousand is wrong without a word."""
    assert 1_002 == len(piped(env, "SELECT range FROM range(1000)").stdout.splitlines())


def test_a_prompt_answers_until_it_is_left(env: dict[str, str]) -> None:
    """A typing error must not end what a person is in the middle of."""
    typed = "FROM bid;\nSELECT 6\n * 7 AS answer;\n\\q\n"
    code, shown = on_terminal(env, typed=typed)
    assert 0 == code
    assert "Did you mean bids?" in shown
    assert re.search(r"^ *42\r?$", shown, re.MULTILINE)


@pytest.mark.parametrize("words", [(), ("-",)])
def test_queries_are_read_from_standard_input(env: dict[str, str], words: tuple[str, ...]) -> None:
    """`echo … | walras sql` is what everybody tries first."""
    done = piped(env, *words, "--format", "csv", typed="SELECT 1 AS a; SELECT 2 AS b;")
    assert (0, "a\n1\nb\n2\n") == (done.returncode, done.stdout)


def test_queries_are_read_from_a_file(env: dict[str, str], tmp_path: Path) -> None:
    """A report is a file."""
    file = tmp_path / "report.sql"
    file.write_text("-- bids\nSELECT count(*) > 0 AS some FROM bids;\n")
    assert "some\ntrue\n" == piped(env, "-f", str(file), "--format", "csv").stdout


def test_json_has_the_shape_of_the_other_commands(env: dict[str, str]) -> None:
    """A bundle is an object, whoever is asked."""
    assert '[{"b": {"' in piped(env, "SELECT bundle AS b FROM bids LIMIT 1", "--json").stdout


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(10000000000000)",
        "SELECT count(*) FROM bids a, bids b, bids c, bids d, bids e",
    ],
)
def test_ctrl_c_ends_a_long_query(env: dict[str, str], query: str) -> None:
    """Whoever waits too long must get out, and without thirty lines of a traceback."""
    with subprocess.Popen(
        [WALRAS, "sql", "-"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdin is not None
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        waiting.stdin.write(f"SELECT 'begun' AS begun; {query};")
        waiting.stdin.close()
        while waiting.stdout.readline() != "begun\n":
            assert waiting.poll() is None
        waiting.send_signal(signal.SIGINT)
        assert 130 == waiting.wait(DEADLINE_S)
        assert "\nstopped\n" == waiting.stderr.read()
