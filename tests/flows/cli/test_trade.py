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
from flows.cli.reasons import BECAUSE, HINTS
from state.errors import BidLost
from tests.support.servers import SHARDS, open_folder
from tests.support.shell import DEADLINE_S, WALRAS, Walras, shell, start_up
from walras_schemas import BidStatus, RejectionReason

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
def home() -> Iterator[Path]:
    """The folder of a deployment of its own, which every command here finds by the settings."""
    with open_folder() as folder, pytest.MonkeyPatch.context() as patch:
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
    name = re.sub(r"[^a-z0-9]", "_", request.node.name.removeprefix("test_"))[:60]
    open_market(walras, tmp_path, name)
    return name


def open_market(walras: Walras, folder: Path, name: str) -> None:
    file = folder / f"{name}.toml"
    file.write_text(MARKET)
    assert 0 == walras("market", "open", file).code
    assert 0 == walras("grant", name, "a1", "100").code


def test_a_bid_from_the_command_line_to_the_ledger(walras: Walras, market: str) -> None:
    """A bid is seen through several commands: all must show the same."""
    placed = walras("bid", market, "a1", "gpu", "3", "--price", "10")
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
    walras("bid", market, "a1", "--bundle", "gpu=2", "--limit", "5.5")
    assert re.search(r"a1 +96$", walras("balance", market).out, re.MULTILINE)
    assert re.search(r" gpu=2 +5\.5 +won +4$", walras("bids", market).out, re.MULTILINE)
    assert re.search(r"\d+ +gpu +[\d.]+ +[\d.]+ +2\.?0* +10 +2 +2 ", walras("prices", market).out)
    window = walras("windows", "--last", "1").out
    assert 1 == len(re.findall(r"^ +0 +\d{10} ", window, re.MULTILINE))


def test_a_bid_that_is_refused_says_why(walras: Walras, market: str) -> None:
    """A script that waits for an outcome must not take a refusal for a success or a crash."""
    refused = walras("bid", market, "a1", "gpu", "3", "--price", "40")
    assert (7, "rejected: insufficient_balance") == (refused.code, refused.out.splitlines()[1])
    assert "free credits do not cover it" in refused.err


@pytest.mark.usefixtures("_up")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("grant nosuch a1 5", "unknown_market"),
        ("bid nosuch a1 gpu 1 --price 3", "unknown_market"),
        ("market close nosuch", "unknown_market"),
        ("bid {market} a9 gpu 1 --price 3", "unknown_agent"),
        ("bid {market} a1 cpu 1 --price 3", "unknown_resource"),
        ("bid {market} a1 gpu 11 --price 3", "exceeds_supply"),
        ("bid {market} a1 --bundle gpu=2 --limit 3", "below_reserve"),
    ],
)
def test_every_command_says_what_the_market_refused(
    walras: Walras, tmp_path: Path, words: str, reason: str
) -> None:
    """A grant that went nowhere, with exit code 0, is found out when the agent starves."""
    open_market(walras, tmp_path, "refusing")
    refused = walras(*words.format(market="refusing").split(), "--json")
    outcome = json.loads(refused.out)
    assert (7, "rejected", reason) == (refused.code, outcome["status"], outcome["reason"])
    assert f"{reason}: {BECAUSE[reason]}" in refused.err


@pytest.mark.parametrize("status", [BidStatus.LOST, BidStatus.WITHDRAWN])
def test_a_bid_that_lost_has_an_exit_code_of_its_own(
    status: BidStatus, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script that continues as if it had won uses what it does not have."""
    sent = sending.Sent("m1", "a1", "e1", shard=0, seq=1, status=status, won={}, paid_micros=0)
    with pytest.raises(BidLost) as lost:
        sending.report(sent, as_json=False)
    assert (8, f"e1\n{status}\n") == (lost.value.exit_code, capsys.readouterr().out)


def test_every_reason_has_its_sentence() -> None:
    """A reason that the command line cannot explain is a word of the wire."""
    assert {reason.value for reason in RejectionReason} == set(BECAUSE)
    assert set(BECAUSE) >= set(HINTS)


def test_an_outcome_is_there_for_programs(walras: Walras, market: str) -> None:
    """A program must not have to take a sentence apart."""
    won = walras("bid", market, "a1", "gpu", "3", "--price", "10", "--json").json
    shown = (won["market"], won["agent"], won["status"], won["won"], won["paid_micros"])
    assert (market, "a1", "won", {"gpu": 3}, 6_000_000) == shown
    granted = walras("grant", market, "a1", "1", "--json").json
    assert ("applied", None) == (granted["status"], granted["reason"])
    sent = walras("grant", market, "a1", "1", "--no-wait", "--json").json
    assert (None, True) == (sent["status"], sent["seq"] > granted["seq"])


def test_a_market_that_is_replaced_is_named(walras: Walras, market: str, tmp_path: Path) -> None:
    """Who opens a market under a name that is taken must see what became of the other one."""
    same = walras("market", "open", tmp_path / f"{market}.toml")
    assert f"market {market} is open as it was: nothing changed" in same.out
    other = tmp_path / "other.toml"
    other.write_text(
        'rule = "vickrey"\n'
        + MARKET.replace("supply = 10", "supply = 1_200")
        + "[resources.cpu]\nsupply = 5\ninitial_price_micros = 1\n"
    )
    replaced = walras("market", "open", other, "--market", market).out
    for change in ("rule uniform → vickrey", "gpu: supply 10 → 1,200", "cpu: new, supply 5"):
        assert change in replaced
    again = walras("market", "open", tmp_path / f"{market}.toml").out
    assert "cpu: no longer offered" in again


def test_a_market_is_closed_and_opened_again(walras: Walras, market: str, tmp_path: Path) -> None:
    """A market that can only be closed by hand-written JSON is closed by nobody."""
    assert f"market {market} is closed" in walras("market", "close", market).out
    refused = walras("bid", market, "a1", "gpu", "1", "--price", "3")
    assert (7, True) == (refused.code, "market_closed" in refused.err)
    assert "it was closed" in walras("market", "open", tmp_path / f"{market}.toml").out
    assert 0 == walras("bid", market, "a1", "gpu", "1", "--price", "3").code


@pytest.mark.parametrize("command", ["prices", "bids", "balance"])
def test_a_typing_error_is_no_empty_market(walras: Walras, market: str, command: str) -> None:
    """An empty answer about a market that never was sends its reader looking in the wrong place."""
    unknown = walras(command, market[:-1])
    assert (1, "") == (unknown.code, unknown.out)
    assert f"there is no market {market[:-1]}" in unknown.err
    assert market in unknown.err


@pytest.mark.parametrize("command", ["bids", "balance"])
def test_a_typing_error_is_no_poor_agent(walras: Walras, market: str, command: str) -> None:
    """The same, of an agent."""
    unknown = walras(command, market, "a")
    assert (1, True) == (unknown.code, "there is no agent a\n  there are a1" in unknown.err)


def test_micros_are_taken_as_they_are(walras: Walras, market: str) -> None:
    """A flag that is ignored costs its user a factor of a million."""
    walras("grant", market, "a2", "7", "--micros")
    walras("bid", market, "a2", "gpu", "1", "--price", "9", "--micros")
    (bid,) = walras("bids", market, "a2", "--json").json
    assert (9, "below_reserve") == (bid["limit_micros"], bid["reason"])
    (account,) = balance(walras, market, "a2")
    assert 7 == account["balance_micros"]


def test_waiting_has_an_end(walras: Walras, market: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no flow runs, no outcome will ever come."""
    monkeypatch.setattr(sending, "WINDOWS_TO_WAIT", 0)
    monkeypatch.setattr(sending, "GRACE_S", 0)
    late = walras("bid", market, "a1", "gpu", "1", "--price", "3")
    assert (1, "") == (late.code, late.out)
    assert "there is no outcome yet" in late.err
    assert "is in the log as message" in late.err


def test_a_replay_gives_the_digest_of_the_live_ledger(
    walras: Walras, market: str, tmp_path: Path, postgres_dsn: str
) -> None:
    """A log that cannot be replayed proves nothing about the ledger."""
    for _ in range(3):
        walras("bid", market, "a1", "gpu", "3", "--price", "10")
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
    walras("bid", market, "a1", "gpu", "1", "--price", "3")
    traded = walras("agents", market, "--agents", "8", "--seconds", "1")
    printed = re.fullmatch(
        r"(\d+) commands in the log, (\d+) answered: \d+ won, \d+ lost, \d+ rejected\n", traded.out
    )
    assert printed is not None, traded.err
    assert 8 < int(printed[1]) <= int(printed[2]) + 8, "all but the grants"


@pytest.mark.usefixtures("_up")
def test_an_interruption_is_not_a_crash(walras: Walras, market: str) -> None:
    """A shell must be able to distinguish Ctrl-C from a failure, and no traceback is shown."""
    walras("bid", market, "a1", "gpu", "1", "--price", "3")
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
    assert (130, True) == (trading.returncode, err.endswith("\nstopped\n"))
    assert "Traceback" not in err


@pytest.mark.usefixtures("_up")
def test_the_doctor_finds_a_running_deployment_healthy(walras: Walras) -> None:
    """A doctor that finds problems where there are none is soon ignored."""
    findings = walras("doctor", "--json").json
    assert [] == [found for found in findings if found["health"] == "fail"]
    checked = {found["thing"] for found in findings if found["health"] == "ok"}
    assert {"log: mapping", "ledger: windows, through DuckDB"} <= checked


@pytest.fixture
def own_home() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_a_second_start_resumes(
    walras: Walras, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop that loses a window, or a start that begins anew, loses credits."""
    monkeypatch.setenv("WALRAS_HOME", str(own_home))
    monkeypatch.setenv("WALRAS_WINDOW_MS", str(WINDOW_MS))
    up = start_up()
    open_market(walras, tmp_path, "m1")
    walras("bid", "m1", "a1", "gpu", "1", "--price", "3")
    stopped = up.stop(signal.SIGTERM)
    messages = [json.loads(line)["message"] for line in stopped.err.splitlines()]
    assert (0, "stopped") == (stopped.code, messages[-1])

    # Nothing runs now: a reader starts the servers for the moment.
    assert 98_000_000 == balance(walras, "m1", "a1")[0]["balance_micros"]
    assert not (own_home / "servers.json").exists()

    up = start_up()
    walras("bid", "m1", "a1", "gpu", "1", "--price", "3")
    assert 96_000_000 == balance(walras, "m1", "a1")[0]["balance_micros"]
    assert 0 == up.stop(signal.SIGINT).code


def test_a_fresh_folder_has_no_ledger(
    walras: Walras, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question of a newcomer comes before the first start."""
    monkeypatch.setenv("WALRAS_HOME", str(tmp_path))
    asked = walras("windows")
    expected = ["error: there is no ledger here yet", f"  looked in {tmp_path}"]
    assert (2, expected) == (asked.code, asked.err.splitlines()[:2])


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
