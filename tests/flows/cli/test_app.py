"""The command line where no server is needed: what it tells, and what it refuses."""

import json
import os
import re
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.duckdb.query import Answer
from flows.cli import app as cli
from flows.cli.console import plain, printable
from flows.cli.tables import cell, table_of
from flows.runtime.settings import variables
from tests.support.shell import WALRAS, Said, Walras, shell


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str]) -> Walras:
    return shell(capsys)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nosuch", 'Unknown command "nosuch"'),
        ("bid", "MARKET requires an argument"),
        ("windows --last 0", "Must be >= 1"),
        ("windows --lats 1", "--lats"),
        ("bid m1 a1 gpu many --price 1", "many"),
        ("bid m1 a1 gpu 3", "a bid needs resource, quantity and unit_price_micros"),
        ("bid m1 a1 gpu 3 --price 1 --limit 2", "never fields of both"),
        ("bid m1 a1 gpu 3 --price 1 --min-quantity 4", "min_quantity 4 is above quantity 3"),
        ("bid m1 a1 gpu 3 --price 0.0000001", "at most 6 decimals"),
        ("bid m1 a1 gpu 0 --price 1", "quantity: Input should be greater than or equal to 1"),
        ("bid m1 a1 --bundle gpu=1,gpu=2 --limit 1", "is no list of resources"),
        ("bid m1 a1 --bundle gpu --limit 1", "is no list of resources"),
        ("bid m1 treasury gpu 1 --price 1", "it is the market's own"),
        ("bid M1 a1 gpu 1 --price 1", "no subject for market 'M1'"),
        ("grant m1 a1 0", "amount_micros: Input should be greater"),
        ("grant m1 house 1", "agent_id: house is an account of the market itself"),
        ("market open nosuch.toml", "nosuch.toml: No such file"),
        ("log export --shard 1 x.jsonl", "shards are counted from 0"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    """A mistake that starts servers first costs seconds and leaves folders."""
    monkeypatch.chdir(tmp_path)
    refused = walras(*words.split())
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: ")
    assert told in refused.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", ["windows", "bid m1 a1 gpu 1 --price 1", "up"])
def test_silent_servers_are_told_as_such(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """The most common trouble of all must not look like a crash, nor show a password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WALRAS_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", "postgresql://u:hunter2@127.0.0.1:1/walras")
    refused = walras(*words.split())
    assert (refused.code, refused.out) == (3, "")
    assert len(refused.err.splitlines()) == 3
    assert "hunter2" not in refused.err


def test_a_wrong_setting_is_told(walras: Walras, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start with another setting than was meant is worse than none."""
    monkeypatch.setenv("WALRAS_SHARDZ", "2")
    refused = walras("up")
    assert refused == Said(
        code=2,
        out="",
        err="error: the settings are wrong\n"
        "  WALRAS_SHARDZ: there is no such setting\n"
        "  Did you mean WALRAS_SHARDS?\n",
    )


def test_a_folder_that_cannot_be_made_is_told(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WALRAS_HOME with a slip in it must not end in a traceback."""
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("WALRAS_HOME", str(file / "home"))
    assert walras("windows") == Said(
        code=2,
        out="",
        err="error: the folder of the embedded servers cannot be used\n"
        f"  {file}/home: Not a directory\n"
        "  Set WALRAS_HOME to a folder of yours, on a disk that can be written to\n",
    )


def test_a_reader_may_leave() -> None:
    """`walras schemas --json | head -1` must not end in a complaint."""
    reads, writes = os.pipe()
    os.close(reads)
    left = subprocess.run(
        [WALRAS, "schemas", "--json"], stdout=writes, stderr=subprocess.PIPE, check=False
    )
    os.close(writes)
    assert (left.returncode, left.stderr) == (141, b"")


def test_help_lists_every_command(walras: Walras) -> None:
    """A command that the help does not name is one that nobody finds."""
    told = walras("--help").out
    names = {words.split()[0] for commands in cli.COMMANDS.values() for words in commands}
    assert {name for name in names if re.search(rf"^│ {name} ", told, re.MULTILINE)} == names
    assert {name for name in variables() if name in told} == set(variables())


@pytest.mark.parametrize(
    "words", [words for commands in cli.COMMANDS.values() for words in commands]
)
def test_every_command_helps(walras: Walras, words: str) -> None:
    """A command whose module does not load fails only where it is used, by a stranger."""
    told = walras(*words.split(), "--help")
    assert (told.code, told.out.startswith(f"Usage: walras {words}")) == (0, True)


def test_help_comes_at_once() -> None:
    """Help that loads the engine first takes seconds on a busy laptop."""
    heavy = {"bytewax", "duckdb", "nats", "psycopg", "pydantic", "rich.table", "uvloop"}
    code = "import sys, flows.cli.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(cli.__file__).parents[2],
    ).stdout
    assert heavy & set(loaded.split()) == set()


def test_schemas_are_the_registry(walras: Walras) -> None:
    """An agent in another language is built from what this prints."""
    schemas = walras("schemas", "--json").json
    assert schemas["bid_placed"]["properties"]["quantity"]["maximum"] == 10**12
    listed = walras("schemas").out
    assert [name for name in schemas if name not in listed] == []
    assert "market.<market>.bid.<agent>" in listed


def test_nothing_acts_on_a_terminal() -> None:
    """Whoever can write into a log could move the cursor of whoever reads it."""
    assert printable("\x1b[31mred\x07\r\u202e") == "\\x1b[31mred\\x07\\r\\u202e"
    assert cell({"\x1b": "\x9b"}) == '{"\\u001b": "\\x9b"}'
    assert printable("günstig 价") == "günstig 价"


@pytest.mark.parametrize(
    ("value", "told"),
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
def test_every_value_is_told_in_json(value: object, told: object) -> None:
    """JSON with NaN in it, or an integer as a float, breaks the program that reads it."""
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == told


def test_tables_tell_units() -> None:
    """Micro-credits read as credits would make everyone a millionaire."""
    answer = Answer(columns=("paid_micros", "p99_us"), rows=((1_500_000, 1_234_567), (None, None)))
    table = table_of(answer, title="Paid")
    shown = [[str(each) for each in column.cells] for column in table.columns]
    assert shown == [["1.5", ""], ["1234.5 ms", ""]]


def test_credits_stand_with_their_points_in_line() -> None:
    """A column read by its length would make 22.8 credits look less than 1.000001."""
    rows = ((22_800_000,), (None,), (-1_000_001,), (0,))
    table = table_of(Answer(columns=("paid_micros",), rows=rows), title="Paid")
    assert [["22.800000", "", "-1.000001", "0.000000"]] == [
        [str(each) for each in column.cells] for column in table.columns
    ]
