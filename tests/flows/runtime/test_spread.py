"""Shards over workers: each has its share, and keeps what it reads."""

import threading
from collections import Counter

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, cluster_main
from typing_extensions import override

from connectors.nats.source import NatsSource
from flows.runtime.spread import keys_of

Threads = tuple[int, int]


class ThreadsOf(FixedPartitionedSource[tuple[str, int], None]):
    """Named as the shards of the log are; tells in which thread each is read."""

    def __init__(self, keys: dict[int, str]) -> None:
        self._keys = keys

    @override
    def list_parts(self) -> list[str]:
        return NatsSource("", positions=dict.fromkeys(self._keys, 1), identities={}).list_parts()

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "OneThread":
        return OneThread(self._keys[int(for_part)])


class OneThread(StatefulSourcePartition[tuple[str, int], None]):
    """Gives the key and its own thread, once."""

    def __init__(self, key: str) -> None:
        self._left = [(key, threading.get_ident())]

    @override
    def next_batch(self) -> list[tuple[str, int]]:
        if not self._left:
            raise StopIteration
        return [self._left.pop()]

    @override
    def snapshot(self) -> None:
        return None


class BothThreads(StatefulBatchLogic[int, Threads, None]):
    """The thread that read, and the one that keeps the state."""

    @override
    def on_batch(self, values: list[int]) -> tuple[list[Threads], bool]:
        return [(reader, threading.get_ident()) for reader in values], self.RETAIN

    @override
    def snapshot(self) -> None:
        return None


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("shards", [1, 2, 4, 8, 13])
def test_every_worker_has_its_share(shards: int, workers: int) -> None:
    """Of four shards all four fell to one of two workers: a second process gained nothing."""
    found: list[tuple[str, Threads]] = []
    flow = Dataflow("threads")
    read = op.input("read", flow, ThreadsOf(keys_of(range(shards), workers=workers)))
    op.output("out", op.stateful_batch("keep", read, lambda _: BothThreads()), TestingSink(found))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert shards == len(found)
    assert all(reader == keeper for _, (reader, keeper) in found)
    shares = Counter(keeper for _, (_, keeper) in found).values()
    assert min(shards, workers) == len(shares)
    assert max(shares) - min(shares) <= 1
