"""The same log gives the same ledger: whatever the batches, the workers, the crashes.

Digests stand for whole ledgers here; that they see every field is shown in test_settle.
"""

from collections.abc import Iterator
from itertools import chain, repeat, zip_longest
from typing import Final

import pytest
from bytewax.testing import TestingSink, TestingSource, cluster_main

from flows.allocation import build
from flows.testing import batches, fresh_shard, settle_log, with_final_tick
from state.log import RawBatch
from state.window import ClosedWindow
from tests.golden.recorded import read as golden
from tests.operators.steps import Shard, final_digest, plain, restore, settle
from tests.twin.random_logs import random_log
from tests.twin.rows import LogRecord

WINDOW_MS: Final = 1000
LONG: Final = random_log(31, commands=1500)
SHORT: Final = random_log(32, commands=150)
METERED: Final = golden("meters")


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_do_not_matter(batch_size: int) -> None:
    """A digest that depends on how a log is read cannot be compared with anyone's."""
    settled = settle_log(LONG, window_ms=WINDOW_MS, batch_size=batch_size)
    assert final_digest(settle(LONG, window_ms=WINDOW_MS)) == final_digest(settled.windows)


def test_shards_do_not_touch_each_other() -> None:
    """Two shards in one flow of two workers must settle as each does alone."""
    logs = {shard: random_log(40 + shard, commands=300) for shard in (0, 1)}
    closed: list[tuple[str, ClosedWindow]] = []
    flow = build(
        source=TestingSource(list(interleaved(logs))),
        shards={shard: fresh_shard(shard) for shard in logs},
        window_ms=WINDOW_MS,
        commit=lambda _shard: lambda window: [window],
        publish=lambda _shard: lambda window: [window],
        output=TestingSink(closed),
    )
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    for shard, log in logs.items():
        own = [window for key, window in closed if key == str(shard)]
        assert final_digest(settle(log, window_ms=WINDOW_MS)) == final_digest(own)


def interleaved(logs: dict[int, list[LogRecord]]) -> Iterator[tuple[str, RawBatch]]:
    """The batches of all shards, one of each in turn."""
    by_shard = [
        batches(with_final_tick(log, window_ms=WINDOW_MS), shard=shard, batch_size=20)
        for shard, log in logs.items()
    ]
    for turn in zip_longest(*by_shard):
        yield from (batch for batch in turn if batch is not None)


def test_a_restart_at_any_message_changes_nothing() -> None:
    """A crash leaves the closed windows and nothing else: that must do, wherever it comes."""
    whole = settle(SHORT, window_ms=WINDOW_MS)
    log = with_final_tick(SHORT, window_ms=WINDOW_MS)
    for stopped_after in range(1, len(log)):
        shard = Shard(WINDOW_MS)
        shard.read(log[:stopped_after])
        state = restore(shard.closed)
        restarted = Shard(WINDOW_MS, state, shard.closed)
        restarted.read(log[state.position.next_seq - 1 :])
        assert final_digest(whole) == final_digest(restarted.closed), f"at {stopped_after}"
        assert plain(whole) == plain(restarted.closed)
        assert whole == restarted.closed


@pytest.mark.parametrize("records", [LONG, METERED], ids=["long", "metered"])
def test_a_restart_after_every_window_changes_nothing(records: list[LogRecord]) -> None:
    """State that is carried over one restart could still be lost by the second."""
    log = with_final_tick(records, window_ms=WINDOW_MS)
    closed: list[ClosedWindow] = []
    while (state := restore(closed)).position.next_seq < len(log):
        shard = Shard(WINDOW_MS, state, closed)
        settled = len(closed)
        for record in log[state.position.next_seq - 1 :]:
            shard.read([record])
            if len(closed) > settled:
                break
    assert plain(settle(records, window_ms=WINDOW_MS)) == plain(closed)


def test_a_restarted_dataflow_goes_on_where_it_stopped() -> None:
    """The real flow must take up the state that it is handed."""
    whole = settle(LONG, window_ms=WINDOW_MS)
    half = whole[: len(whole) // 2]
    state = restore(half)
    rest = settle_log(
        LONG[state.position.next_seq - 1 :], window_ms=WINDOW_MS, batch_size=7, shard=state
    )
    assert plain(whole) == plain([*half, *rest.windows])


def test_a_window_read_twice_is_the_same_window() -> None:
    """A window that was already committed is recomputed after a crash, to the same digest."""
    first = settle(LONG, window_ms=WINDOW_MS, sizes=chain([3], repeat(11)))
    again = settle(LONG, window_ms=WINDOW_MS, sizes=repeat(1000))
    assert plain(first) == plain(again)
