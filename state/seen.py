"""The event ids a shard has seen, kept for as long as they could come back.

An id older than the dedupe horizon is refused as stale before anyone asks whether it is a
duplicate (SEMANTICS §4, rules 3 and 4), so it may be forgotten. Ids are kept in buckets of the time
they carry themselves: an id has one bucket for ever, and whole buckets are dropped.
"""

from walras_schemas import CLOCK_SKEW_MS, DEDUPE_HORIZON_MS, RejectionReason, uuid7_ms

NS_PER_MS = 1_000_000
BUCKET_MS = 10_000
UUID_LENGTH = 36


class SeenIds:
    """Which sender used which event id in which market, within the dedupe horizon."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[str]] = {}
        self._oldest_kept = 0

    def judge(self, key: str, *, time_ns: int) -> RejectionReason | None:
        """Apply rules 3 and 4 to an id and remember it once it got past rule 3.

        `key` is a `bid_key`: market, sender and id; `time_ns` is the stream time of its message.
        """
        id_ms = _id_ms(key)
        age_ns = time_ns - id_ms * NS_PER_MS
        if age_ns > DEDUPE_HORIZON_MS * NS_PER_MS:
            return RejectionReason.STALE_EVENT_ID
        if age_ns < -CLOCK_SKEW_MS * NS_PER_MS:
            return RejectionReason.FUTURE_EVENT_ID
        self._forget_before(time_ns // NS_PER_MS - DEDUPE_HORIZON_MS)
        bucket = self._buckets.setdefault(id_ms // BUCKET_MS, set())
        if key in bucket:
            return RejectionReason.DUPLICATE
        bucket.add(key)
        return None

    def remember(self, key: str) -> None:
        """Take back an id that the ledger recorded before a restart."""
        self._buckets.setdefault(_id_ms(key) // BUCKET_MS, set()).add(key)

    def _forget_before(self, horizon_ms: int) -> None:
        oldest = horizon_ms // BUCKET_MS
        if oldest > self._oldest_kept:
            for stale in [bucket for bucket in self._buckets if bucket < oldest]:
                del self._buckets[stale]
            self._oldest_kept = oldest


def _id_ms(key: str) -> int:
    return uuid7_ms(key[-UUID_LENGTH:])
