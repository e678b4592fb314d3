"""A market traded from the command line, on the embedded servers that a laptop starts by itself."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.cli import trade as cli_trading
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
    assert up.stop(signal.SIGINT).code == 0


@pytest.fixture
def market(_up: None, walras: Walras, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """An open market for this test alone, in which a1 owns 100 credits."""
    name: str = request.node.name.removeprefix("test_")[:60]
    open_market(walras, tmp_path, name)
    return name


def open_market(walras: Walras, folder: Path, name: str) -> None:
    file = folder / f"{name}.toml"
    file.write_text(MARKET)
    assert walras("market", "open", file).code == 0
    assert walras("grant", name, "a1", "100").code == 0


def test_a_bid_from_the_command_line_to_the_ledger(walras: Walras, market: str) -> None:
    """The way of a bid is only as good as its doors: each must tell the same story."""
    placed = walras("bid", market, "a1", "gpu", "3", "--price", "10", "--wait")
    event_id, outcome = placed.out.splitlines()
    assert (placed.code, outcome) == (0, "won: 3 gpu for 6 credits")

    (bid,) = walras("bids", market, "--json").json
    assert (bid["event_id"], bid["bundle"], bid["limit_micros"], bid["paid_micros"]) == (
        event_id,
        {"gpu": 3},
        30_000_000,
        6_000_000,
    )
    balances = {each["agent_id"]: each["balance_micros"] for each in balance(walras, market)}
    assert balances == {"a1": 94_000_000, "house": 6_000_000, "treasury": -100_000_000}
    *_, window = walras("windows", "--json").json
    assert (window["bids"], window["won"], window["paid_micros"]) == (1, 1, 6_000_000)
    (price,) = walras("prices", market, "--last", "1", "--json").json
    assert (price["clearing_micros"], price["sold"]) == (2_000_000, 3)
    counted = walras("sql", "SELECT market, count(*) AS bids FROM bids GROUP BY ALL", "--json").json
    assert {"market": market, "bids": 1} in counted


def test_tables_are_for_people(walras: Walras, market: str) -> None:
    """A table in micro-credits makes everyone count zeros."""
    walras("bid", market, "a1", "--bundle", "gpu=2", "--limit", "5.5", "--wait")
    assert re.search(r"a1 +96 $", walras("balance", market).out, re.MULTILINE)
    assert re.search(r"\{\"gpu\": 2\} +5\.5 +won +4 $", walras("bids", market).out, re.MULTILINE)
    assert re.search(r"\d+ +gpu +1 +2 +10 +2 +2 ", walras("prices", market).out)
    window = walras("windows", "--last", "1").out
    assert len(re.findall(r"^ +0 +\d{10} ", window, re.MULTILINE)) == 1


def test_a_bid_that_is_refused_says_why(walras: Walras, market: str) -> None:
    """Who waits for an outcome must not take a refusal for a success, nor for a failure of ours."""
    refused = walras("bid", market, "a1", "gpu", "3", "--price", "40", "--wait")
    assert (refused.code, refused.out.splitlines()[1]) == (0, "rejected: insufficient_balance")


def test_micros_are_taken_as_they_are(walras: Walras, market: str) -> None:
    """A flag that is ignored costs its user a factor of a million."""
    walras("grant", market, "a2", "7", "--micros")
    walras("bid", market, "a2", "gpu", "1", "--price", "9", "--micros", "--wait")
    (bid,) = walras("bids", market, "a2", "--json").json
    assert (bid["limit_micros"], bid["reason"]) == (9, "below_reserve")
    (account,) = balance(walras, market, "a2")
    assert account["balance_micros"] == 7


def test_waiting_has_an_end(walras: Walras, market: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no flow runs, no outcome will ever come."""
    monkeypatch.setattr(cli_trading, "WINDOWS_TO_WAIT", 0)
    monkeypatch.setattr(cli_trading, "GRACE_S", 0)
    late = walras("bid", market, "a1", "gpu", "1", "--price", "3", "--wait")
    assert (late.code, len(late.out.splitlines())) == (1, 1)
    assert "the bid has no outcome yet" in late.err


def test_a_replay_gives_the_digest_of_the_live_ledger(
    walras: Walras, market: str, tmp_path: Path, postgres_dsn: str
) -> None:
    """A log that cannot be replayed proves nothing about the ledger."""
    for _ in range(3):
        walras("bid", market, "a1", "gpu", "3", "--price", "10", "--wait")
    *_, last = walras("windows", "--json").json
    (bids,) = walras("sql", "SELECT count(*) AS bids FROM bids", "--json").json
    file = tmp_path / "log.jsonl"
    assert walras("log", "export", "--shard", "0", file).code == 0

    window_ms = ("--window-ms", str(WINDOW_MS))
    for_the_moment = walras("replay", file, *window_ms)
    kept = walras("replay", file, *window_ms, "--batch-size", "7", "--postgres", postgres_dsn)
    assert for_the_moment.json == kept.json
    assert (kept.json["digest"], kept.json["bids"]) == (last["digest"], bids["bids"])
    assert sorted(kept.json) == ["accepted", "bids", "digest", "rejected", "windows"]
    assert len(kept.out.splitlines()) == 1

    twice = walras("replay", file, *window_ms, "--postgres", postgres_dsn)
    assert (twice.code, "not empty" in twice.err) == (2, True)


@pytest.mark.usefixtures("_up")
def test_a_write_in_sql_is_refused(walras: Walras) -> None:
    """The question door must not be a way in."""
    refused = walras("sql", "DELETE FROM bids")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: the query was not run")
    assert "read-only" in refused.err


@pytest.mark.usefixtures("_up")
def test_agents_trade(walras: Walras, market: str) -> None:
    """Simulated agents that never reach the log make every demo and benchmark a lie."""
    walras("bid", market, "a1", "gpu", "1", "--price", "3", "--wait")
    traded = walras("agents", market, "--agents", "8", "--seconds", "1")
    told = re.fullmatch(r"(\d+) commands are in the log\n", traded.out)
    assert told is not None, traded.err
    assert int(told[1]) > 8


@pytest.mark.usefixtures("_up")
def test_an_interruption_is_no_crash(walras: Walras, market: str) -> None:
    """Ctrl-C is an end that a shell must be able to tell from a failure, and no traceback."""
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
    assert (trading.returncode, err) == (130, "\nstopped\n")


@pytest.mark.usefixtures("_up")
def test_the_doctor_finds_a_running_deployment_well(walras: Walras) -> None:
    """A doctor that finds trouble where there is none is not asked twice."""
    findings = walras("doctor", "--json").json
    assert [found for found in findings if found["health"] == "fail"] == []
    looked_at = {found["thing"] for found in findings if found["health"] == "ok"}
    assert {"log: mapping", "ledger: windows, through DuckDB"} <= looked_at


def test_a_second_start_goes_on(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that loses a window, or a start that begins anew, loses credits."""
    monkeypatch.setenv("WALRAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WALRAS_WINDOW_MS", str(WINDOW_MS))
    up = start_up()
    open_market(walras, tmp_path, "m1")
    walras("bid", "m1", "a1", "gpu", "1", "--price", "3", "--wait")
    stopped = up.stop(signal.SIGTERM)
    assert (stopped.code, stopped.err.splitlines()[-1]) == (0, "stopped")

    # Nothing runs now: a reader starts the servers for the moment.
    assert balance(walras, "m1", "a1")[0]["balance_micros"] == 98_000_000
    assert not (tmp_path / "home" / "servers.json").exists()

    up = start_up()
    walras("bid", "m1", "a1", "gpu", "1", "--price", "3", "--wait")
    assert balance(walras, "m1", "a1")[0]["balance_micros"] == 96_000_000
    assert up.stop(signal.SIGINT).code == 0


def test_a_fresh_folder_has_no_ledger(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question of a newcomer comes before the first start."""
    monkeypatch.setenv("WALRAS_HOME", str(tmp_path))
    asked = walras("windows")
    assert (asked.code, asked.err.splitlines()[0]) == (
        1,
        "error: there is no ledger in this database yet",
    )


def test_up_keeps_passwords_to_itself(
    nats_url: str, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a deployment prints is collected by log shippers."""
    monkeypatch.setenv("WALRAS_NATS_URL", nats_url)
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", f"{postgres_dsn}&password=hunter2")
    monkeypatch.setenv("WALRAS_SHARDS", str(SHARDS))
    said = start_up().stop(signal.SIGTERM)
    assert (said.code, "hunter2" in said.out + said.err) == (0, False)


def balance(walras: Walras, *words: str) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = walras("balance", *words, "--json").json
    return accounts
