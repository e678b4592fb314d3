"""The two ways to decode, judge and clear: over columns, and one by one, which is the definition.

**Promise:** inside `one_by_one` nothing is decoded jointly, and no bid judged or market cleared
over columns; inside `counted` both ways are open, and the counts say how many took each.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from operators import allocate, decode, settle
from operators.admit_columns import Rows, admit_many
from operators.clear import Clearing
from operators.clear_columns import clear_many
from operators.columns import Messages, ResourceNumbers, decode_bids
from state.accounts import ShardAccounts
from state.bids import Bids
from state.market import Terms


def _leave_all(
    _bids: Bids, rows: Rows, _terms: Mapping[str, Terms], _accounts: ShardAccounts
) -> Rows:
    return rows


def _clear_none(_terms: Terms, _bids: Bids, _rows: Rows) -> None:
    return None


def _join_none(messages: Messages, _resources: ResourceNumbers) -> tuple[Bids, list[int]]:
    return Bids.none(), list(range(len(messages.payloads)))


@contextmanager
def one_by_one(
    *, decoding: bool = True, admission: bool = True, clearing: bool = True
) -> Iterator[None]:
    """The sequential way, of all parts or of some."""
    with (
        patch.object(decode, "decode_bids", _join_none if decoding else decode_bids),
        patch.object(allocate, "admit_many", _leave_all if admission else admit_many),
        patch.object(settle, "clear_many", _clear_none if clearing else clear_many),
    ):
        yield


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Both ways, with counts: bids judged and windows of a market cleared by each."""
    counts: Counter[str] = Counter()

    def admit(bids: Bids, rows: Rows, terms: Mapping[str, Terms], accounts: ShardAccounts) -> Rows:
        left = admit_many(bids, rows, terms, accounts)
        counts["judged over columns"] += len(rows) - len(left)
        counts["left to be judged one by one"] += len(left)
        return left

    def clear(terms: Terms, bids: Bids, rows: Rows) -> Clearing | None:
        clearing = clear_many(terms, bids, rows)
        counts["cleared one by one" if clearing is None else "cleared over columns"] += 1
        return clearing

    with patch.object(allocate, "admit_many", admit), patch.object(settle, "clear_many", clear):
        yield counts
