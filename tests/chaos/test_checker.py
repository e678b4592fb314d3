"""The checks that need no servers: each of them, and that it can fail."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.nats.export import LogLine
from tests.chaos.checker import check_acknowledged, check_contiguous, check_outcomes
from tests.chaos.faults import Injected, alone
from tests.chaos.log import Log, commands_in
from tests.chaos.publishers import Tally, fingerprint
from tests.chaos.report import percentile
from tests.chaos.schedule import Kind
from tests.chaos.trading import MALFORMED, Message, Trader
from tests.chaos.watchers import recovery
from tests.chaos.workers import Fate, Worker, wrong_end
from walras_client.nats.jetstream import NS_PER_S

BID = "market.m1.bid.a1"
ONE, TWO = b'{"type": "bid_placed"}', b'[{"type": "bid_placed"}, 7]'


def log_of(*messages: tuple[str, bytes], first_seq: int = 1) -> Log:
    log = Log()
    lines = [
        LogLine(seq, 0, subject, payload, {})
        for seq, (subject, payload) in enumerate(messages, first_seq)
    ]
    assert lines == list(log.noted(lines))
    return log


LOG = log_of((BID, ONE), ("clock.0", b""), (BID, TWO))
STREAM: dict[str, Any] = {"first_seq": 1, "last_seq": 3, "messages": 3}


@pytest.mark.parametrize(
    ("payload", "commands"),
    [
        (b"", 1),
        (ONE, 1),
        (TWO, 2),
        (b"[]", 1),
        (b"[1, NaN]", 1),
        (b'["\xff"]', 1),
        (b"[" * 100_000, 1),
        (b"[" + b",".join([b"{}"] * 1000) + b"]", 1000),
        (b"[" + b",".join([b"{}"] * 1001) + b"]", 1),
    ],
)
def test_how_many_outcomes_a_message_has(payload: bytes, commands: int) -> None:
    """An array stands or falls by element; what is no array that may be, falls as a whole."""
    assert commands == commands_in(BID, payload)
    assert 0 == commands_in("clock.0", payload)


@pytest.mark.parametrize(
    ("seq", "subject", "payload", "holds"),
    [
        (3, BID, TWO, True),
        (4, BID, TWO, False),
        (1, BID, TWO, False),
        (3, "market.m1.bid.a2", TWO, False),
    ],
)
def test_acknowledged_and_lost(seq: int, subject: str, payload: bytes, *, holds: bool) -> None:
    """An acknowledged message must be there, at the acknowledged place, as it was sent."""
    assert holds == check_acknowledged({seq: fingerprint(subject, payload)}, LOG).holds


def test_one_sequence_for_two_messages() -> None:
    """A broker that has lost its end gives the same numbers again."""
    tally = Tally()
    tally.acknowledge(Message(BID, ONE, "1"), 1, at_s=0.0)
    tally.acknowledge(Message(BID, ONE, "1"), 1, at_s=1.0)
    assert [] == tally.contradictions
    tally.acknowledge(Message(BID, TWO, "2"), 1, at_s=2.0)
    assert 1 == len(tally.contradictions)


@pytest.mark.parametrize(("again_s", "contradictions"), [(60.0, 1), (120.0, 0)])
def test_two_sequences_for_one_id(again_s: float, contradictions: int) -> None:
    """Who sends again under the same id within two minutes relies on being taken once."""
    tally = Tally()
    tally.acknowledge(Message(BID, ONE, "1"), 1, at_s=0.0)
    tally.acknowledge(Message(BID, ONE, "1"), 2, at_s=again_s)
    assert contradictions == len(tally.contradictions)


@pytest.mark.parametrize(
    ("log", "stream", "holds"),
    [
        (LOG, STREAM, True),
        (LOG, STREAM | {"messages": 2}, False),
        (LOG, STREAM | {"first_seq": 2}, False),
        (LOG, STREAM | {"last_seq": 4, "messages": 4}, False),
        (log_of((BID, ONE), first_seq=2), {"first_seq": 1, "last_seq": 1, "messages": 1}, False),
    ],
)
def test_gaps(log: Log, stream: dict[str, Any], *, holds: bool) -> None:
    """A message that is gone takes its command with it, and nobody misses what he cannot see."""
    assert holds == check_contiguous(log, stream).holds


@pytest.mark.parametrize(
    ("places", "next_seq", "acknowledged", "holds"),
    [
        ([(1, 0), (3, 0), (3, 1)], 4, 3, True),
        ([(1, 0)], 3, 1, True),
        ([(1, 0)], 3, 3, False),
        ([(1, 0), (3, 0)], 4, 3, False),
        ([(1, 0), (3, 0), (3, 0)], 4, 3, False),
        ([(1, 0), (3, 1), (3, 2)], 4, 3, False),
        ([(1, 0), (2, 0), (3, 0), (3, 1)], 4, 3, False),
        ([(1, 0), (3, 0), (3, 1), (4, 0)], 4, 3, False),
        ([(1, 0), (3, 0), (3, 1)], 5, 3, False),
    ],
)
def test_outcomes(
    places: list[tuple[int, int]],
    next_seq: int,
    acknowledged: int,
    *,
    holds: bool,
) -> None:
    """None lost, none twice, none without a command, and all that was acknowledged settled."""
    check = check_outcomes(LOG, places, next_seq=next_seq, acknowledged=acknowledged)
    assert holds == check.holds


@pytest.mark.parametrize(
    ("fate", "ready", "code", "well"),
    [
        (Fate.KILLED, True, -9, True),
        (Fate.STOPPED, True, 0, True),
        (Fate.STOPPED, False, -15, True),
        (Fate.REPLACED, True, 5, True),
        (Fate.RUNS, False, 3, True),
        (Fate.RUNS, True, 3, False),
        (Fate.RUNS, True, 5, False),
        (Fate.RUNS, True, 6, False),
        (Fate.STOPPED, True, 1, False),
        (Fate.REPLACED, True, 0, False),
        (Fate.REPLACED, True, -9, False),
    ],
)
def test_how_a_worker_may_end(
    tmp_path: Path, fate: Fate, code: int, *, ready: bool, well: bool
) -> None:
    """A worker that gives up, or a replaced one that does not, is started again and never seen."""
    said = tmp_path / "worker.log"
    said.write_text("ready\n" if ready else "")
    end = f"import os, sys; sys.exit({code}) if {code} >= 0 else os.kill(os.getpid(), -({code}))"
    process = subprocess.Popen([sys.executable, "-c", end])
    process.wait()
    assert well == (wrong_end(Worker(process, said, fate)) is None)


def test_what_counts_as_recovered() -> None:
    """A commit that was under way at the kill would make every recovery a matter of luck."""
    kill = Injected(Kind.WORKER_KILL, 10 * NS_PER_S + 1, 10 * NS_PER_S + 2)
    windows = [(8, 9 * NS_PER_S), (9, 10 * NS_PER_S + 5), (10, 12 * NS_PER_S + 1)]
    found = recovery(kill, windows, [kill])
    assert found is not None
    assert (2.0, True) == (found.took_s, found.alone)
    assert None is recovery(kill, windows[:2], [kill])
    behind = recovery(kill, [(7, 9 * NS_PER_S), *windows[1:]], [kill])
    assert behind is not None
    assert not behind.alone


@pytest.mark.parametrize(
    ("began_s", "ended_s", "by_itself"),
    [(0, 1, True), (0, 9.5, False), (11, 11, False), (13, 14, True)],
)
def test_what_counts_as_alone(began_s: float, ended_s: float, *, by_itself: bool) -> None:
    """A kill of a worker whose database is frozen says nothing of the worker."""
    kill = Injected(Kind.WORKER_KILL, 10 * NS_PER_S, 10 * NS_PER_S)
    other = Injected(Kind.DATABASE_SLEEP, int(began_s * NS_PER_S), int(ended_s * NS_PER_S))
    assert by_itself == alone(kill, 12 * NS_PER_S, [kill, other])


def test_percentiles() -> None:
    """A p99 that is an average of two values is one that nobody waited for."""
    values = [float(value) for value in range(1, 101)]
    assert (50.0, 99.0) == (percentile(values, 50), percentile(values, 99))
    assert (1.0, 1.0) == (percentile([1.0], 50), percentile([1.0], 99))


def test_the_seed_decides_what_is_sent() -> None:
    """But for the ids, whose time the market judges."""

    def subjects_of(seed: int) -> list[tuple[str, int]]:
        trader = Trader(seed, 0)
        return [(m.subject, len(m.payload)) for _ in range(20) for m in trader.round()]

    assert subjects_of(7) == subjects_of(7)
    assert subjects_of(7) != subjects_of(8)


def test_everything_is_sent() -> None:
    """A kind of command that no publisher sends was never checked."""
    trader = Trader(7, 0)
    sent = [message for _ in range(200) for message in trader.round()]
    payloads = b"".join(message.payload for message in sent)
    types = ["bid_placed", "bid_withdrawn", "credits_transferred", "credits_granted"]
    assert [] == [
        name
        for name in [*types, "supply_changed", "market_closed", "bundle"]
        if name.encode() not in payloads
    ]
    assert set(MALFORMED) <= {message.payload for message in sent}
    ids = [message.msg_id for message in sent]
    contents = [message.payload for message in sent if message.payload not in MALFORMED]
    assert len(set(ids)) < len(ids)
    assert len(set(contents)) < len(set(ids))
