"""A market lives through any log: message by message, stopped and restored at any of them.

Hypothesis writes the log while the steps read it, and shrinks it when a promise breaks.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from flows.testing import LogWriter, with_final_tick
from operators.results import agent_results, market_windows
from state.accounts import ShardAccounts
from state.bids import Bid
from state.names import Owner
from state.window import ClosedWindow, CommandRow, DeadLetter, Settlement
from tests.operators.steps import Shard, final_digest, plain, restore, settle, settlements
from tests.support.flow import run_twin
from tests.support.generated_logs import MOVES, Move, start, write_move
from tests.support.rows import rows_of
from tests.twin.rows import in_order
from walras_schemas import TREASURY, BidStatus

WINDOW_MS: Final = 1000
MOVE_LISTS: Final = st.lists(MOVES, min_size=1, max_size=4)
SIZES: Final = st.integers(1, 9)
AGAIN: Final = st.sampled_from([0, 0, 0, 1, 2, 5, 12])
"""How many messages back the one lies whose sender got no answer and sends it again; 0 for none."""


class Market(RuleBasedStateMachine):
    """A log that grows, and the steps that read it."""

    def __init__(self) -> None:
        super().__init__()
        self.log = LogWriter()
        self.shard = Shard(WINDOW_MS)
        self.read_up_to = 0

    @initialize()
    def open(self) -> None:
        start(self.log)

    # Hypothesis leaves out some of the rules in each run, so that all of them trade.

    @rule(moves=MOVE_LISTS, again=AGAIN, size=SIZES)
    def trade(self, moves: list[Move], again: int, size: int) -> None:
        """Send, and read in batches of one size; what fills no batch has to wait."""
        for move in moves:
            # A message that was read is in the log for good: nothing joins it any more.
            write_move(self.log, move if len(self.log.records) > self.read_up_to else alone(move))
        if again:
            unanswered = self.log.records[-min(again, len(self.log.records))]
            self.log.append(unanswered.subject, unanswered.payload)
        while len(batch := self.log.records[self.read_up_to :][:size]) == size:
            self.shard.read(batch)
            self.read_up_to += size

    @rule(moves=MOVE_LISTS, again=AGAIN, size=SIZES)
    def trade_until_the_window_closes(self, moves: list[Move], again: int, size: int) -> None:
        self.trade(moves, again, size)
        self.log.wait(WINDOW_MS)
        self.log.tick()

    @rule(moves=MOVE_LISTS, again=AGAIN, size=SIZES)
    def trade_and_crash(self, moves: list[Move], again: int, size: int) -> None:
        """All that was not settled is gone; the log is read again from where the ledger stands."""
        self.trade(moves, again, size)
        state = restore(self.shard.closed)
        self.shard = Shard(WINDOW_MS, state, self.shard.closed)
        unsettled = iter(self.log.records[state.position.next_seq - 1 : self.read_up_to])
        while batch := list(islice(unsettled, size)):
            self.shard.read(batch)

    @invariant()
    def no_credit_is_promised_twice(self) -> None:
        held: Counter[Owner] = Counter()
        for bid in self.open_bids():
            held[bid.market, bid.agent] += bid.limit_micros
        for number, owner in enumerate(self.accounts.names.accounts):
            free = self.accounts.free_of(number)
            assert held[owner] == self.accounts.balance_of(number) - free
            assert owner[1] == TREASURY or free >= 0

    @invariant()
    def no_credit_is_created_or_lost(self) -> None:
        assert 0 == sum(map(self.accounts.balance_of, range(len(self.accounts.names.accounts))))

    @invariant()
    def every_window_keeps_its_promises(self) -> None:
        for window in settlements(self.shard.closed):
            check_settlement(window)

    def teardown(self) -> None:
        """However it was read, the log gives what it gives in one piece, and what the twin says."""
        if not self.log.records:
            return
        whole = settle(self.log.records, window_ms=WINDOW_MS)
        expected = in_order(run_twin(self.log.records, WINDOW_MS))
        assert expected == in_order(rows_of(whole, window_ms=WINDOW_MS))
        closing = with_final_tick(self.log.records, window_ms=WINDOW_MS)
        self.shard.read(closing[self.read_up_to :])
        assert final_digest(whole) == final_digest(self.shard.closed)
        assert plain(whole) == plain(self.shard.closed)
        assert list(announced(whole)) == list(announced(self.shard.closed))

    @property
    def accounts(self) -> ShardAccounts:
        return self.shard.allocate.accounts

    def open_bids(self) -> list[Bid]:
        """The admitted bids of the open window, as a slice that closes now would clear them."""
        return [
            bid for run in self.shard.open_runs() for bid in run if bid.status is BidStatus.LOST
        ]


def alone(move: Move) -> Move:
    """The move as a message of its own."""
    return replace(move, joins=False)


def announced(windows: list[ClosedWindow]) -> Iterator[object]:
    for window in windows:
        if isinstance(window, Settlement):
            yield from agent_results(window)
            yield from market_windows(window, window_ms=WINDOW_MS)


def check_settlement(window: Settlement) -> None:
    """Nothing over-allocated, every bid concluded, prices for every sale."""
    assert all(price.sold <= min(price.supply, price.demanded) for price in window.prices)
    assert all((price.clearing_micros is None) == (price.sold == 0) for price in window.prices)
    for bid in window.bids:
        assert (bid.status is BidStatus.REJECTED) == (bid.reason is not None)
        assert 0 <= bid.paid_micros <= bid.won * bid.unit_price_micros
    rows: Iterator[Bid | CommandRow | DeadLetter]
    rows = chain(window.bids, window.commands, window.dead_letters)
    places = [(row.seq, row.ord) for row in rows]
    assert len(places) == len(set(places))
    assert all(window.first_seq <= seq < window.next_seq for seq, _ in places)


TestMarket = Market.TestCase
TestMarket.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
