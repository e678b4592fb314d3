"""The event ids a shard has seen, kept for as long as they could come back.

An id older than the dedupe horizon is refused as stale before anyone asks whether it is a
duplicate (SEMANTICS §4, rules 5 and 6), so it may be forgotten. Ids are kept in buckets of the time
they carry themselves: an id has one bucket for ever, and whole buckets are dropped.
"""

from collections import Counter
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from walras_schemas import CLOCK_SKEW_MS, DEDUPE_HORIZON_MS, RejectionReason

NS_PER_MS: Final = 1_000_000
BUCKET_MS: Final = 10_000
TIME_BYTES: Final = 6
"""So many bytes of an event id are its time, in milliseconds."""
ID_BYTES: Final = 16

Time = TypeVar("Time", int, NDArray[np.int64])
"""One time in nanoseconds, or a column of them."""


class DedupeIndex:
    """Which sender used which event id in which market, within the dedupe horizon.

    A key is what names the sender, followed by the 16 bytes of the id.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, set[bytes]] = {}
        self._forget_at_ms = 0
        """When the oldest time reaches it, a bucket has become stale."""

    def check(self, key: bytes, *, time_ns: int) -> RejectionReason | None:
        """Apply rules 5 and 6 to an id and remember it once it got past rule 5.

        `time_ns` is the stream time of its message.
        """
        self.forget(time_ns)
        id_ms = carried_ms(key)
        if id_ms < oldest_ms(time_ns):
            return RejectionReason.STALE_EVENT_ID
        if id_ms > newest_ms(time_ns):
            return RejectionReason.FUTURE_EVENT_ID
        bucket = self._bucket(id_ms)
        known = len(bucket)
        bucket.add(key)
        return RejectionReason.DUPLICATE if len(bucket) == known else None

    def repeated(self, keys: list[bytes], *, at_ms: int) -> set[bytes]:
        """Of keys whose ids all carry a time of the bucket of `at_ms`, those that are not new.

        They repeat an earlier one or one another; nothing is remembered by this.
        """
        bucket, new = self._bucket(at_ms), set(keys)
        if len(new) == len(keys) and bucket.isdisjoint(new):
            return set()
        counts = Counter(keys)
        return {key for key in new if key in bucket or counts[key] > 1}

    def remember_all(self, keys: list[bytes], *, at_ms: int) -> None:
        """Remember keys whose ids all carry a time of the bucket of `at_ms`."""
        self._bucket(at_ms).update(keys)

    def remember(self, key: bytes) -> None:
        """Take back an id that the ledger recorded before a restart."""
        self._bucket(carried_ms(key)).add(key)

    def forget(self, time_ns: int) -> None:
        """Drop what is stale at this stream time, and at every later one."""
        oldest = oldest_ms(time_ns)
        if oldest >= self._forget_at_ms:
            oldest_bucket = oldest // BUCKET_MS
            for stale in [bucket for bucket in self._buckets if bucket < oldest_bucket]:
                del self._buckets[stale]
            self._forget_at_ms = (oldest_bucket + 1) * BUCKET_MS

    def _bucket(self, id_ms: int) -> set[bytes]:
        return self._buckets.setdefault(id_ms // BUCKET_MS, set())


def oldest_ms(time_ns: Time) -> Time:
    """The oldest time an id may carry at this stream time, or at each; an older one is stale."""
    return -((DEDUPE_HORIZON_MS * NS_PER_MS - time_ns) // NS_PER_MS)


def newest_ms(time_ns: Time) -> Time:
    """The newest time an id may carry at this stream time, or at each; a newer one is early."""
    return (time_ns + CLOCK_SKEW_MS * NS_PER_MS) // NS_PER_MS


def carried_ms(key: bytes) -> int:
    """The time that the id at the end of a key carries, in milliseconds since the epoch."""
    return int.from_bytes(key[-ID_BYTES : TIME_BYTES - ID_BYTES], "big")


def agent_key(account: int, event_id: bytes) -> bytes:
    """What tells two commands of agents apart: an id is unique to its sender and market."""
    return account.to_bytes(4, "little") + event_id


def operator_key(market: str, event_id: bytes) -> bytes:
    """What tells two commands of operators apart; all of a market count as one sender."""
    return market.encode() + event_id
