"""The command line where no server is needed: what it prints, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from flows.cli import app as cli
from flows.cli.cells import cell
from flows.cli.console import plain
from flows.runtime.logging import printable
from flows.runtime.settings import variables
from tests.support.shell import WALRAS, Ended, Walras, shell

WIRE_NAMES = re.compile(r"_micros|BidPlaced|CreditsGranted|MarketClosed|Input should|event_id|\^")
EVERY_HELP = """
import sys
from flows.cli import app

for commands in app.COMMANDS.values():
    for words in commands:
        app.run([*words.split(), "--help"])
print(*sys.modules, file=sys.stderr)
"""


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str]) -> Walras:
    return shell(capsys)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("nosuch", 'Unknown command "nosuch"'),
        ("bid", "MARKET requires an argument"),
        ("windows --last 0", "Must be >= 1"),
        ("windows --last 99999999999999999999", "not a whole number in range"),
        ("prices --last 1000001", "Must be <= 1000000"),
        ("bids m1 --last 1.5", "not a whole number in range"),
        ("windows --format xml", "xml"),
        ("windows --json --format csv", "two formats are asked for"),
        ("sql --jsn", "there is no option --jsn"),
        ("sql FROM --file q.sql", "two queries are given"),
        ("sql --file nosuch.sql", "nosuch.sql: No such file"),
        ("windows --lats 1", "--lats"),
        ("bid m1 a1 gpu many --price 1", "many"),
        ("bid m1 a1", "RESOURCE, QUANTITY, --price missing"),
        ("bid m1 a1 gpu 3", "--price missing"),
        ("bid m1 a1 --bundle gpu=1", "--limit missing"),
        ("bid m1 a1 gpu 3 --price 1 --limit 2", "RESOURCE, QUANTITY, --price, --limit do not go"),
        ("bid m1 a1 gpu 3 --price 1 --min-quantity 4", "--min-quantity 4 is above QUANTITY 3"),
        ("bid m1 a1 gpu 3 --price 1 --min-quantity 0", "--min-quantity must be at least 1"),
        ("bid m1 a1 gpu 3 --price 0.0000001", "at most 6 decimals"),
        ("bid m1 a1 gpu 0 --price 1", "QUANTITY must be at least 1"),
        ("bid m1 a1 --bundle gpu=1,gpu=2 --limit 1", "is not a list of resources"),
        ("bid m1 a1 --bundle gpu --limit 1", "is not a list of resources"),
        ("bid m1 a1 --bundle gpu=0 --limit 1", "--bundle gpu must be at least 1"),
        ("bid m1 a1 GPU 1 --price 1", "RESOURCE is 'GPU': a name has at most 64 small letters"),
        ("bid m1 a1 gpu 1 --price 0", "--price must be at least 0.000001 credits"),
        ("bid m1 a1 gpu 1 --price 9999999999", "--price must be at most 1000000000 credits"),
        ("bid m1 treasury gpu 1 --price 1", "treasury is an account of the market itself"),
        ("bid M1 a1 gpu 1 --price 1", "'M1': a name has at most 64 small letters"),
        ("bid m1 a.1 gpu 1 --price 1", "'a.1': a name has at most 64 small letters"),
        ("bid m1 a1 gpu 1 --prize 1", "`walras bid --help` shows what it takes"),
        ("grant m1 a1 0", "CREDITS must be at least 0.000001 credits"),
        ("grant m1 house 1", "house is an account of the market itself"),
        ("market close M1", "'M1': a name has at most 64 small letters"),
        ("market open", "`walras market open --help` shows what it takes"),
        ("demo --agents 1000000000", "Must be <= 10000"),
        ("demo --seconds 1000000000", "Must be <= 86400"),
        ("agents m1 --agents 10001", "Must be <= 10000"),
        ("agents m1 --rate 1000001", "Must be <= 1000000"),
        ("context add local --nats-url nats://h:1 --postgres-dsn a=b", "'local' is the deployment"),
        ("context add ../x --nats-url nats://h:1 --postgres-dsn a=b", "'../x' is not a name"),
        ("context use nosuch", "there are local"),
        ("market open nosuch.toml", "nosuch.toml: No such file"),
    ],
)
def test_a_mistake_is_refused_before_anything_starts(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, expected: str
) -> None:
    """A mistake that starts servers first costs seconds and leaves folders."""
    monkeypatch.chdir(tmp_path)
    refused = walras(*words.split())
    assert (2, "") == (refused.code, refused.out)
    assert refused.err.startswith("error: ")
    assert expected in refused.err
    assert not WIRE_NAMES.search(refused.err), "whoever types knows no fields and no classes"
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        *("windows", "prices m1", "bids m1", "balance m1", "sql SELECT", "log export x.jsonl"),
        *("bid m1 a1 gpu 1 --price 1", "bid m1 a1 gpu 1 --price 1 --no-wait", "grant m1 a1 1"),
        *("market close m1", "agents m1", "env", "context add here"),
    ],
)
def test_a_folder_without_a_deployment_stays_empty(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """A command in the wrong folder must not leave 46 MB of servers in it, and say where it was."""
    monkeypatch.chdir(tmp_path)
    refused = walras(*words.split())
    assert (2, "") == (refused.code, refused.out)
    assert str(tmp_path / ".walras") in refused.err
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["windows", "bid m1 a1 gpu 1 --price 1", "up"])
def test_silent_servers_are_reported(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """The most common failure of all must not look like a crash, nor show a password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WALRAS_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", "postgresql://u:hunter2@127.0.0.1:1/walras")
    refused = walras(*words.split())
    assert (3, "") == (refused.code, refused.out)
    assert 3 == len(refused.err.splitlines())
    assert "hunter2" not in refused.err


def test_a_wrong_setting_is_refused(walras: Walras, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with another setting than was meant is worse than none."""
    monkeypatch.setenv("WALRAS_SHARDZ", "2")
    refused = walras("up")
    expected = Ended(
        code=2,
        out="",
        err="error: the settings are wrong\n"
        "  WALRAS_SHARDZ: there is no such setting\n"
        "  Did you mean WALRAS_SHARDS?\n",
    )
    assert expected == refused


def test_a_folder_that_cannot_be_made_is_reported(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped WALRAS_HOME must not end in a traceback."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("WALRAS_HOME", str(file / "home"))
    expected = Ended(
        code=2,
        out="",
        err="error: the folder of the embedded servers cannot be used\n"
        f"  {file}/home: Not a directory\n"
        "  Set WALRAS_HOME to a folder that you can write to\n",
    )
    assert expected == walras("up")


def test_a_reader_may_leave() -> None:
    """`walras schemas --json | head -1` must not end in a complaint."""
    reads, writes = os.pipe()
    os.close(reads)
    left = subprocess.run(
        [WALRAS, "schemas", "--json"], stdout=writes, stderr=subprocess.PIPE, check=False
    )
    os.close(writes)
    assert (141, b"") == (left.returncode, left.stderr)


def test_help_lists_every_command(walras: Walras) -> None:
    """A command that the help does not name is one that nobody finds."""
    shown = walras("--help").out
    names = {words.split()[0] for commands in cli.COMMANDS.values() for words in commands}
    found = {name for name in names if re.search(rf"^│ {name} ", shown, re.MULTILINE)}
    assert names == found
    assert set(variables()) == {name for name in variables() if name in shown}


@pytest.mark.parametrize(
    "words", [words for commands in cli.COMMANDS.values() for words in commands]
)
def test_every_command_helps(walras: Walras, words: str) -> None:
    """A command whose module does not load fails only where it is used."""
    shown = walras(*words.split(), "--help")
    assert (0, True) == (shown.code, shown.out.startswith(f"Usage: walras {words}"))


def test_help_comes_at_once() -> None:
    """Help that loads the engine first takes seconds on a busy laptop."""
    heavy = {"bytewax", "duckdb", "nats", "psycopg", "pydantic", "uvicorn", "uvloop"}
    ended = subprocess.run(
        [sys.executable, "-c", EVERY_HELP],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(cli.__file__).parents[2],
    )
    loaded = set(ended.stderr.split())
    assert set() == heavy & loaded
    assert {"cyclopts", "flows.cli.read", "flows.cli.up"} <= loaded


def test_schemas_are_the_registry(walras: Walras) -> None:
    """An agent in another language is built from what this prints."""
    schemas = walras("schemas", "--json").json
    assert 10**12 == schemas["bid_placed"]["properties"]["quantity"]["maximum"]
    listed = walras("schemas").out
    assert [] == [name for name in schemas if name not in listed]
    assert "market.<market>.bid.<agent>" in listed


def test_nothing_acts_on_a_terminal() -> None:
    """A writer of the log could move the cursor of its reader."""
    assert "\\x1b[31mred\\x07\\r\\u202e" == printable("\x1b[31mred\x07\r\u202e")
    assert '{"\\u001b": "\\x9b"}' == cell({"\x1b": "\x9b"})
    assert "günstig 价" == printable("günstig 价")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**63, 2**63),
        (True, True),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (Decimal("1.50"), "1.50"),
        (b"\xff\x00", "ff00"),
        ([{1: (None, b"\x01")}], [{"1": [None, "01"]}]),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_every_value_has_its_json(value: object, expected: object) -> None:
    """JSON with NaN in it, or an integer as a float, breaks the program that reads it."""
    assert expected == json.loads(json.dumps(plain(value), allow_nan=False))
