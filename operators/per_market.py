"""The Bytewax shells of the pricing flow: a step for each market, a sink for what it quotes.

Promise: the windows of a market reach its step one by one, in order, in whatever batches they
travel. Nothing is snapshotted: the ledger is the checkpoint (docs/adr/0002).
"""

from collections.abc import Callable, Iterable, Sequence

from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from typing_extensions import override

from state.window import Announcement
from walras_schemas import MarketWindow

Step = Callable[[MarketWindow], Iterable[Announcement]]
Tell = Callable[[Sequence[Announcement]], None]


class PerMarket(StatefulBatchLogic[MarketWindow, Announcement, None]):
    """Holds the step of one market, which is kept for ever."""

    def __init__(self, step: Step) -> None:
        self._step = step

    @override
    def on_batch(self, values: list[MarketWindow]) -> tuple[Iterable[Announcement], bool]:
        return [quote for window in values for quote in self._step(window)], self.RETAIN

    @override
    def snapshot(self) -> None:
        return None


class QuoteSink(DynamicSink[tuple[str, Announcement]]):
    """The last step: hands the quotes on, as many at once as come."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_QuoteSinkPartition":
        return _QuoteSinkPartition(self._tell)


class _QuoteSinkPartition(StatelessSinkPartition[tuple[str, Announcement]]):
    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    @override
    def write_batch(self, items: list[tuple[str, Announcement]]) -> None:
        self._tell([quote for _market, quote in items])
