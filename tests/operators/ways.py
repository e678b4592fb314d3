"""The two ways of judging and clearing: over columns, and one by one, which is the definition.

**Promise:** inside `one_by_one` no bid is judged and no market is cleared over columns; inside
`counted` both ways are open, and the counts say how many bids and windows took each.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch

from operators import allocate, settle
from operators.admit_columns import Rows
from operators.clear import Clearing
from state.accounts import ShardAccounts
from state.bids import Bids
from state.market import Terms

_admit_many, _clear_many = allocate.admit_many, settle.clear_many


def _leave_all(
    _bids: Bids, rows: Rows, _terms: Mapping[str, Terms], _accounts: ShardAccounts
) -> Rows:
    return rows


def _clear_none(_terms: Terms, _bids: Bids, _rows: Rows) -> None:
    return None


@contextmanager
def one_by_one(*, admission: bool = True, clearing: bool = True) -> Iterator[None]:
    """The sequential way, of both parts or of one."""
    with (
        patch.object(allocate, "admit_many", _leave_all if admission else _admit_many),
        patch.object(settle, "clear_many", _clear_none if clearing else _clear_many),
    ):
        yield


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Both ways, with counts: bids judged and windows of a market cleared by each."""
    counts: Counter[str] = Counter()

    def admit(bids: Bids, rows: Rows, terms: Mapping[str, Terms], accounts: ShardAccounts) -> Rows:
        left = _admit_many(bids, rows, terms, accounts)
        counts["judged over columns"] += len(rows) - len(left)
        counts["left to be judged one by one"] += len(left)
        return left

    def clear(terms: Terms, bids: Bids, rows: Rows) -> Clearing | None:
        clearing = _clear_many(terms, bids, rows)
        counts["cleared one by one" if clearing is None else "cleared over columns"] += 1
        return clearing

    with patch.object(allocate, "admit_many", admit), patch.object(settle, "clear_many", clear):
        yield counts
