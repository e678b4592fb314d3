"""Numbers that no command can use, and outputs that take nothing: three parts or a quiet end."""

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.shell import WALRAS, Walras, shell

FULL: Final = Path("/dev/full")
NUMBERS: Final = ["-1", "1.5", "1e3", "nan", "", "0x10", "1" + "0" * 20, "9" * 5000]
TAKE_NUMBERS: Final = [
    "demo --agents=",
    "demo --seconds=",
    "agents m1 --agents=",
    "agents m1 --rate=",
    "agents m1 --seconds=",
    "log export --shard=",
    "replay no.jsonl --window-ms=",
    "replay no.jsonl --batch-size=",
    "bid m1 a1 gpu 2 --price 1 --min-quantity=",
    "bid m1 a1 --limit 1 --bundle gpu=",
    "bid m1 a1 --price 1 gpu ",
]
TAKE_AMOUNTS: Final = ["bid m1 a1 gpu 1 --price=", "bid m1 a1 --bundle gpu=1 --limit="]


@pytest.fixture
def walras(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Walras:
    monkeypatch.chdir(tmp_path)
    return shell(capsys)


@pytest.mark.parametrize("number", NUMBERS, ids=[number[:22] for number in NUMBERS])
@pytest.mark.parametrize("words", TAKE_NUMBERS)
def test_a_number_out_of_range_is_refused(walras: Walras, words: str, number: str) -> None:
    """One that is taken asks for an hour, all memory, or an error of somebody else's library."""
    refused = walras(*f"{words}{number}".split(" "))
    assert (2, "") == (refused.code, refused.out)
    assert refused.err.startswith("error: ")
    assert 3 <= len(refused.err.splitlines())


@pytest.mark.parametrize("amount", ["-1", "1e99", "nan", "inf", "", "0x10", "9" * 5000])
@pytest.mark.parametrize("words", TAKE_AMOUNTS)
def test_an_amount_out_of_range_is_refused(walras: Walras, words: str, amount: str) -> None:
    """As above, of money."""
    refused = walras(*f"{words}{amount}".split(" "))
    assert (2, "") == (refused.code, refused.out)
    assert refused.err.startswith("error: ")


@pytest.mark.parametrize("words", ["schemas", "--help", "doctor"])
@pytest.mark.parametrize("closed", ["out", "err", "all"])
def test_streams_that_are_closed_are_not_written_to(
    tmp_path: Path, words: str, closed: str
) -> None:
    """`walras windows >&-` is how a daemon starts what it does not read."""
    how = {"out": ">&-", "err": "2>&-", "all": "<&- >&- 2>&-"}[closed]
    ended = subprocess.run(
        ["/bin/sh", "-c", f'"$0" {words} {how}', WALRAS],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (0, b"") == (ended.returncode, ended.stderr)
    assert (closed == "err") is (ended.stdout != b"")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", ["schemas", "--help", "doctor"])
def test_a_full_disk_is_said(tmp_path: Path, words: str) -> None:
    """Half a file with exit code 0 passes for a whole one."""
    with FULL.open("w") as full:
        ended = subprocess.run(
            [WALRAS, *words.split()],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert 1 == ended.returncode
    assert "error: the output could not be written\n  No space left on device\n" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_an_error_that_cannot_be_said_keeps_its_exit_code(tmp_path: Path) -> None:
    """A script reads the code, whatever became of the words."""
    with FULL.open("w") as full:
        ended = subprocess.run([WALRAS, "nosuch"], cwd=tmp_path, stderr=full, check=False)
    assert 2 == ended.returncode
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing was started
