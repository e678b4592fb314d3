"""A market traded from the command line, on the embedded servers that a laptop starts by itself."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cli import sending
from tests.support.servers import SHARDS
from tests.support.shell import DEADLINE_S, WALRAS, Walras, shell, start_up

WINDOW_MS = 200
MARKET = """
[resources.gpu]
supply = 10
initial_price_micros = 1_000_000
reserve_micros = 2_000_000
"""


@pytest.fixture
def walras(capsys: pytest.CaptureFixture[str]) -> Walras:
    return shell(capsys)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a deployment of its own, which every command here finds by the settings."""
    folder = tmp_path_factory.mktemp("walras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WALRAS_HOME", str(folder))
        patch.setenv("WALRAS_WINDOW_MS", str(WINDOW_MS))
        yield folder


@pytest.fixture(scope="module")
def _up(home: Path) -> Iterator[None]:  # noqa: ARG001 - it says where
    up = start_up()
    yield
    assert 0 == up.stop(signal.SIGINT).code


@pytest.fixture
def market(_up: None, walras: Walras, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An open market for this test alone, in which a1 owns 100 credits."""
    name: str = request.node.name.removeprefix("test_")[:60]
    open_market(walras, tmp_path, name)
    return name


def open_market(walras: Walras, folder: Path, name: str) -> None:
    file = folder / f"{name}.toml"
    file.write_text(MARKET)
    assert 0 == walras("market", "open", file).code
    assert 0 == walras("grant", name, "a1", "100").code


def test_a_bid_from_the_command_line_to_the_ledger(walras: Walras, market: str) -> None:
    """A bid is seen through several commands: all must show the same."""
    placed = walras("bid", market, "a1", "gpu", "3", "--price", "10", "--wait")
    event_id, outcome = placed.out.splitlines()
    assert (0, "won: 3 gpu for 6 credits") == (placed.code, outcome)

    (bid,) = walras("bids", market, "--json").json
    seen = (bid["event_id"], bid["bundle"], bid["limit_micros"], bid["paid_micros"])
    assert (event_id, {"gpu": 3}, 30_000_000, 6_000_000) == seen
    balances = {each["agent_id"]: each["balance_micros"] for each in balance(walras, market)}
    assert {"a1": 94_000_000, "house": 6_000_000, "treasury": -100_000_000} == balances
    # A price that was quoted since may have a window of its own, without bids or sales.
    *_, window = [each for each in walras("windows", "--json").json if each["bids"]]
    assert (1, 1, 6_000_000) == (window["bids"], window["won"], window["paid_micros"])
    (price,) = [each for each in walras("prices", market, "--json").json if each["sold"]]
    assert (2_000_000, 3) == (price["clearing_micros"], price["sold"])
    counted = walras("sql", "SELECT market, count(*) AS bids FROM bids GROUP BY ALL", "--json").json
    assert {"market": market, "bids": 1} in counted


def test_tables_are_for_people(walras: Walras, market: str) -> None:
    """A table in micro-credits makes everyone count zeros."""
    walras("bid", market, "a1", "--bundle", "gpu=2", "--limit", "5.5", "--wait")
    assert re.search(r"a1 +96$", walras("balance", market).out, re.MULTILINE)
    assert re.search(r" gpu=2 +5\.5 +won +4$", walras("bids", market).out, re.MULTILINE)
    assert re.search(r"\d+ +gpu +1 +2 +10 +2 +2 ", walras("prices", market).out)
    window = walras("windows", "--last", "1").out
    assert 1 == len(re.findall(r"^ +0 +\d{10} ", window, re.MULTILINE))


def test_a_bid_that_is_refused_says_why(walras: Walras, market: str) -> None:
    """A client that waits for an outcome must not take a refusal for a success or a crash."""
    refused = walras("bid", market, "a1", "gpu", "3", "--price", "40", "--wait")
    assert (0, "rejected: insufficient_balance") == (refused.code, refused.out.splitlines()[1])


def test_micros_are_taken_as_they_are(walras: Walras, market: str) -> None:
    """A flag that is ignored costs its user a factor of a million."""
    walras("grant", market, "a2", "7", "--micros")
    walras("bid", market, "a2", "gpu", "1", "--price", "9", "--micros", "--wait")
    (bid,) = walras("bids", market, "a2", "--json").json
    assert (9, "below_reserve") == (bid["limit_micros"], bid["reason"])
    (account,) = balance(walras, market, "a2")
    assert 7 == account["balance_micros"]


def test_waiting_has_an_end(walras: Walras, market: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no flow runs, no outcome will ever come."""
    monkeypatch.setattr(sending, "WINDOWS_TO_WAIT", 0)
    monkeypatch.setattr(sending, "GRACE_S", 0)
    late = walras("bid", market, "a1", "gpu", "1", "--price", "3", "--wait")
    assert (1, 1) == (late.code, len(late.out.splitlines()))
    assert "the bid has no outcome yet" in late.err


def test_a_replay_gives_the_digest_of_the_live_ledger(
    walras: Walras, market: str, tmp_path: Path, postgres_dsn: str
) -> None:
    """A log that cannot be replayed proves nothing about the ledger."""
    for _ in range(3):
        walras("bid", market, "a1", "gpu", "3", "--price", "10", "--wait")
    (bids,) = walras("sql", "SELECT count(*) AS bids FROM bids", "--json").json
    file = tmp_path / "log.jsonl"
    assert 0 == walras("log", "export", "--shard", "0", file).code

    window_ms = ("--window-ms", str(WINDOW_MS))
    for_the_moment = walras("replay", file, *window_ms)
    kept = walras("replay", file, *window_ms, "--batch-size", "7", "--postgres", postgres_dsn)
    assert for_the_moment.json == kept.json
    assert bids["bids"] == kept.json["bids"]
    live = walras("windows", "--last", "1000", "--json").json
    assert kept.json["digest"] in [window["digest"] for window in live]
    assert ["accepted", "bids", "digest", "rejected", "windows"] == sorted(kept.json)
    assert 1 == len(kept.out.splitlines())

    twice = walras("replay", file, *window_ms, "--postgres", postgres_dsn)
    assert (2, True) == (twice.code, "not empty" in twice.err)


@pytest.mark.usefixtures("_up")
def test_a_write_in_sql_is_refused(walras: Walras) -> None:
    """A query must not be a way to write."""
    refused = walras("sql", "DELETE FROM bids")
    assert (2, "error: the query was not run") == (refused.code, refused.err.splitlines()[0])
    assert "read-only" in refused.err


@pytest.mark.usefixtures("_up")
def test_agents_trade(walras: Walras, market: str) -> None:
    """Simulated agents that never reach the log make every demo and benchmark a lie."""
    walras("bid", market, "a1", "gpu", "1", "--price", "3", "--wait")
    traded = walras("agents", market, "--agents", "8", "--seconds", "1")
    printed = re.fullmatch(r"(\d+) commands are in the log\n", traded.out)
    assert printed is not None, traded.err
    assert int(printed[1]) > 8


@pytest.mark.usefixtures("_up")
def test_an_interruption_is_not_a_crash(walras: Walras, market: str) -> None:
    """A shell must be able to distinguish Ctrl-C from a failure, and no traceback is shown."""
    walras("bid", market, "a1", "gpu", "1", "--price", "3", "--wait")
    trading = subprocess.Popen(
        [WALRAS, "agents", market, "--agents", "8", "--seconds", "600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    give_up_at_s = time.monotonic() + DEADLINE_S
    while len(walras("bids", market, "--json").json) < 2:
        assert time.monotonic() < give_up_at_s, "the agents never bid"
    trading.send_signal(signal.SIGINT)
    _, err = trading.communicate(timeout=DEADLINE_S)
    assert (130, "\nstopped\n") == (trading.returncode, err)


@pytest.mark.usefixtures("_up")
def test_the_doctor_finds_a_running_deployment_healthy(walras: Walras) -> None:
    """A doctor that finds problems where there are none is soon ignored."""
    findings = walras("doctor", "--json").json
    assert [] == [found for found in findings if found["health"] == "fail"]
    checked = {found["thing"] for found in findings if found["health"] == "ok"}
    assert {"log: mapping", "ledger: windows, through DuckDB"} <= checked


def test_a_second_start_resumes(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that loses a window, or a start that begins anew, loses credits."""
    monkeypatch.setenv("WALRAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WALRAS_WINDOW_MS", str(WINDOW_MS))
    up = start_up()
    open_market(walras, tmp_path, "m1")
    walras("bid", "m1", "a1", "gpu", "1", "--price", "3", "--wait")
    stopped = up.stop(signal.SIGTERM)
    messages = [json.loads(line)["message"] for line in stopped.err.splitlines()]
    assert (0, "stopped") == (stopped.code, messages[-1])

    # Nothing runs now: a reader starts the servers for the moment.
    assert 98_000_000 == balance(walras, "m1", "a1")[0]["balance_micros"]
    assert not (tmp_path / "home" / "servers.json").exists()

    up = start_up()
    walras("bid", "m1", "a1", "gpu", "1", "--price", "3", "--wait")
    assert 96_000_000 == balance(walras, "m1", "a1")[0]["balance_micros"]
    assert 0 == up.stop(signal.SIGINT).code


def test_a_fresh_folder_has_no_ledger(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question of a newcomer comes before the first start."""
    monkeypatch.setenv("WALRAS_HOME", str(tmp_path))
    asked = walras("windows")
    assert (1, "error: there is no ledger in this database yet") == (
        asked.code,
        asked.err.splitlines()[0],
    )


def test_up_keeps_passwords_to_itself(
    nats_url: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a deployment prints is collected by log shippers."""
    monkeypatch.setenv("WALRAS_NATS_URL", nats_url)
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", f"{postgres_dsn}&password=hunter2")
    monkeypatch.setenv("WALRAS_SHARDS", str(SHARDS))
    ended = start_up().stop(signal.SIGTERM)
    assert (0, False) == (ended.code, "hunter2" in ended.out + ended.err)


def balance(walras: Walras, *words: str) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = walras("balance", *words, "--json").json
    return accounts
