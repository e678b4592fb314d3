"""The event ids a shard has seen, kept for as long as they could come back.

An id older than the dedupe horizon is refused as stale before anyone asks whether it is a
duplicate (SEMANTICS §4, rules 3 and 4), so it may be forgotten. Ids are kept in buckets of the time
they carry themselves: an id has one bucket for ever, and whole buckets are dropped.
"""

from functools import lru_cache

from walras_schemas import CLOCK_SKEW_MS, DEDUPE_HORIZON_MS, RejectionReason, uuid7_ms

NS_PER_MS = 1_000_000
BUCKET_MS = 10_000
UUID_LENGTH = 36
AFTER_TIME = 23
"""How much of an id comes after the time that it carries."""

_carried_ms = lru_cache(maxsize=1 << 12)(uuid7_ms)  # many ids of one millisecond come in a row


class DedupeIndex:
    """Which sender used which event id in which market, within the dedupe horizon."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[str]] = {}
        self._time_ns = -1
        self._oldest_ms = 0
        """The oldest time an id may carry now; an older one is stale."""
        self._newest_ms = 0
        """The newest time an id may carry now; a newer one is from the future."""
        self._forget_at_ms = 0
        """When the oldest time reaches it, a bucket has become stale."""

    def check(self, key: str, *, time_ns: int) -> RejectionReason | None:
        """Apply rules 3 and 4 to an id and remember it once it got past rule 3.

        `key` is a `bid_key`: market, sender and id; `time_ns` is the stream time of its message.
        """
        if time_ns != self._time_ns:
            self._advance(time_ns)
        id_ms = _carried_ms(key[-UUID_LENGTH:-AFTER_TIME])
        if id_ms < self._oldest_ms:
            return RejectionReason.STALE_EVENT_ID
        if id_ms > self._newest_ms:
            return RejectionReason.FUTURE_EVENT_ID
        bucket = self._buckets.get(id_ms // BUCKET_MS)
        if bucket is None:
            bucket = self._buckets[id_ms // BUCKET_MS] = set()
        known = len(bucket)
        bucket.add(key)
        return RejectionReason.DUPLICATE if len(bucket) == known else None

    def remember(self, key: str) -> None:
        """Take back an id that the ledger recorded before a restart."""
        id_ms = _carried_ms(key[-UUID_LENGTH:-AFTER_TIME])
        self._buckets.setdefault(id_ms // BUCKET_MS, set()).add(key)

    def _advance(self, time_ns: int) -> None:
        """Move the limits to the stream's time, and forget what has become stale."""
        self._time_ns = time_ns
        self._oldest_ms = -((DEDUPE_HORIZON_MS * NS_PER_MS - time_ns) // NS_PER_MS)
        self._newest_ms = (time_ns + CLOCK_SKEW_MS * NS_PER_MS) // NS_PER_MS
        if self._oldest_ms >= self._forget_at_ms:
            oldest_bucket = self._oldest_ms // BUCKET_MS
            for stale in [bucket for bucket in self._buckets if bucket < oldest_bucket]:
                del self._buckets[stale]
            self._forget_at_ms = (oldest_bucket + 1) * BUCKET_MS
