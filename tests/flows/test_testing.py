"""The kit for tests of a market says what the market did, and refuses what its user mistyped."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from flows.testing import Allowance, Event, LogWriter, Outcome, Sent, settle_log

WINDOW_MS: Final = 1000


def open_market() -> LogWriter:
    log = LogWriter()
    log.open(gpu={"supply": 4}, cpu={"supply": 1})
    for agent in ("a1", "a2"):
        log.grant(agent, 100)
    return log


def test_the_kit_needs_no_server_and_no_test_runner(tmp_path: Path) -> None:
    """A user of another test runner, or of no broker, could not import it."""
    seen = "{'nats', 'psycopg', 'pytest', 'duckdb', 'hypothesis'} & set(sys.modules)"
    program = f"import flows.testing, sys; print(sorted({seen}))"
    ran = subprocess.run(
        [sys.executable, "-I", "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "[]\n") == (ran.returncode, ran.stdout), ran.stderr


def test_the_outcome_of_each_bid_is_what_the_market_decided() -> None:
    """An assertion on a wrong outcome would let a user's mistake pass."""
    log = open_market()
    won = log.bid("a1", resource="gpu", quantity=3, unit_price_micros=9)
    in_part = log.bid("a2", resource="gpu", quantity=2, unit_price_micros=8)
    lost = log.bundle("a2", {"gpu": 1, "cpu": 1}, limit_micros=1)
    withdrawn = log.bid("a2", resource="gpu", quantity=1, unit_price_micros=8)
    log.withdraw("a2", withdrawn)
    rejected = log.bid("a1", resource="gpu", quantity=5, unit_price_micros=9)
    settled = settle_log(log.records, window_ms=WINDOW_MS)
    assert [
        Outcome("won", won={"gpu": 3}, paid_micros=24),
        Outcome("partially_won", won={"gpu": 1}, paid_micros=8),
        Outcome("lost"),
        Outcome("withdrawn"),
        Outcome("rejected", reason="exceeds_supply"),
    ] == [settled.outcome(bid) for bid in (won, in_part, lost, withdrawn, rejected)]


def test_the_outcome_of_each_other_command_is_what_the_market_decided() -> None:
    """A set-up that was refused unseen makes every later assertion about something else."""
    log = open_market()
    given = log.transfer("a1", to="a2", amount_micros=100)
    refused = log.transfer("a1", to="a2", amount_micros=1)
    unknown = log.quote("ram", 5)
    fresh: Event = {"resource": "gpu", "quantity": 1, "unit_price_micros": 1}
    batch = [log.command("bid_placed", **fresh), {"type": "bid_placed"}]
    seq = log.append("market.m1.bid.a2", batch)
    settled = settle_log(log.records, window_ms=WINDOW_MS)
    assert [
        Outcome("applied"),
        Outcome("rejected", reason="insufficient_balance"),
        Outcome("rejected", reason="unknown_resource"),
        Outcome("won", won={"gpu": 1}, paid_micros=0),
        Outcome("malformed"),
    ] == [settled.outcome(sent) for sent in (given, refused, unknown, Sent(seq), Sent(seq, 1))]


def test_a_command_of_another_log_has_no_outcome() -> None:
    """A default in its place would be compared with, and pass."""
    with pytest.raises(KeyError):
        settle_log(open_market().records).outcome(Sent(99))


def test_prices_are_told_apart_by_window_and_market() -> None:
    """A price of another window or market would prove nothing about this one."""
    log = open_market()
    log.open(market="m2", gpu={"supply": 1})
    log.bid("a1", resource="gpu", quantity=4, unit_price_micros=9)
    log.bid("a2", resource="gpu", quantity=1, unit_price_micros=7)
    log.wait(WINDOW_MS)
    log.supply("gpu", 2)
    log.quote("gpu", 20)
    log.wait(WINDOW_MS)
    log.tick()
    settled = settle_log(log.records, window_ms=WINDOW_MS)
    assert [{"cpu": None, "gpu": 7}, {"cpu": None, "gpu": None}] == settled.prices()
    assert [{"gpu": None}, {}] == settled.prices(market="m2"), "a market at rest has no prices"
    assert 3 == len(settled.windows)


def test_balances_are_those_after_the_last_window() -> None:
    """A balance from the middle of the log hides what came after it."""
    log = open_market()
    log.grant("a1", 7, market="m2")
    log.bid("a1", resource="gpu", quantity=4, unit_price_micros=9)
    log.bid("a2", resource="gpu", quantity=1, unit_price_micros=7)
    log.wait(WINDOW_MS)
    log.transfer("a1", to="a3", amount_micros=2)
    settled = settle_log(log.records, window_ms=WINDOW_MS)
    expected = {"a1": 70, "a2": 100, "a3": 2, "house": 28, "treasury": -200}
    assert expected == settled.balances()
    assert {} == settled.balances(market="m2")


@pytest.mark.parametrize(
    "batch_size", [1, 3, 1000], ids=lambda batch_size: f"{batch_size} in a batch"
)
def test_the_size_of_a_batch_changes_nothing(batch_size: int) -> None:
    """A kit in which it did could not show that a flow keeps its promise."""
    log = open_market()
    log.bid("a1", resource="gpu", quantity=4, unit_price_micros=9)
    whole = settle_log(log.records, window_ms=WINDOW_MS)
    assert whole == settle_log(log.records, window_ms=WINDOW_MS, batch_size=batch_size)


def test_what_was_won_is_held_and_settled() -> None:
    """A proxy's author could not test against anything but a whole deployment."""
    log = LogWriter()
    log.open(gpu={"supply": 9, "allowance_windows": 2}, cpu={"supply": 9, "allowance_windows": 1})
    log.grant("a1", 1_000)
    log.open_meter()
    log.bid("a1", resource="gpu", quantity=9, unit_price_micros=10)
    log.bid("a1", resource="cpu", quantity=4, unit_price_micros=10)
    log.wait(2 * WINDOW_MS)
    log.hold(1, "a1", 2, resource="gpu")
    held = log.hold(2, "a1", 3, resource="gpu")
    log.settle(1, 4, outcome="unmetered")
    refused = log.hold(3, "a1", 5, resource="gpu")
    settled = settle_log(log.records, window_ms=WINDOW_MS)
    assert {
        ("a1", "gpu"): Allowance(won=9, free=4, held=3, used=4, overdrawn=2),
        ("a1", "cpu"): Allowance(won=4, expired=4),
    } == settled.allowances()
    assert {} == settled.allowances(market="m2")
    assert Outcome("rejected", reason="insufficient_allowance") == settled.outcome(refused)
    assert (held.seq, held.ord) not in settled.outcomes
    with pytest.raises(ValueError, match="quantity"):
        log.hold(4, "a1", 0, resource="gpu")


def test_an_empty_log_has_no_window() -> None:
    """A program that writes its log in a loop starts with nothing."""
    assert [] == list(settle_log([]).windows)


def test_what_the_market_would_call_malformed_is_refused_at_once() -> None:
    """A misspelt field would open no market, and every later bid would be rejected for it."""
    log = LogWriter()
    with pytest.raises(ValueError, match="suply"):
        log.open(gpu={"suply": 4})
    with pytest.raises(ValueError, match="quantity"):
        log.bid("a1", resource="gpu", quantity=0, unit_price_micros=1)
    with pytest.raises(ValueError, match="house"):
        log.bid("house", resource="gpu", quantity=1, unit_price_micros=1)
    assert [] == log.records
