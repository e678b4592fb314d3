"""Which market each account of a shard is in, as an array that grows with the names."""

import numpy as np
from numpy.typing import NDArray

from state.names import Names

Numbers = NDArray[np.int64]


class MarketNumbers:
    """By number of the account: the number of its market. One shard's; names are only added."""

    def __init__(self) -> None:
        self._numbers: Numbers = np.empty(0, dtype=np.int64)

    def of(self, names: Names) -> Numbers:
        """Of all accounts that have names by now."""
        new = names.market_of[len(self._numbers) :]
        if new:
            self._numbers = np.concatenate([self._numbers, np.array(new, dtype=np.int64)])
        return self._numbers
