"""The operator's side of a shard: the latest listing of every market and the ids operators used.

What agents own is in `state/accounts.py`; the two are judged apart because no operator's command
depends on what an agent holds.
"""

from dataclasses import dataclass, field

from state.dedupe import SeenIds
from state.market import Listing


@dataclass(slots=True)
class Board:
    """All that `join_prices` remembers of one shard between two windows."""

    listings: dict[str, Listing] = field(default_factory=dict)
    seen: SeenIds = field(default_factory=SeenIds)
