"""Each guard of the fast way has a log that trips it, and the log settles as the definition says.

A guard that never trips is not tested by logs that agree.
"""

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import repeat
from math import ceil
from typing import Any, Final

import pytest

from flows.testing import LogWriter, SettledLog, fresh_shard
from operators.admit_columns import admit_many
from operators.clear_columns import ROWS_MAX, clear_many
from tests.operators import books
from tests.operators.steps import Shard, plain, settle
from tests.operators.ways import counted, one_by_one

WINDOW_MS: Final = 1000
Bids = list[dict[str, Any]]


def opened(*, quota: int | None = None, rule: Any = "uniform") -> LogWriter:
    """A market in which a1 and a2 have credits, with a window of its own behind it."""
    log = LogWriter(max_commands=quota)
    log.open(rule=rule, gpu={"supply": 9}, vast={"supply": 10**12})
    log.grant("a1", 100)
    log.grant("a2", 100)
    log.wait(WINDOW_MS)
    return log


def bid(log: LogWriter, agent: str = "a1", price: int = 5, **more: Any) -> None:
    log.bid(agent, resource="gpu", quantity=1, unit_price_micros=price, **more)


def over_quota(log: LogWriter) -> None:
    for _ in range(3):
        bid(log)


def repeated_id(log: LogWriter) -> None:
    bid(log, event_id=log.fresh_id())
    bid(log, event_id=log.ids[-1])


def repeated_id_of_an_earlier_window(log: LogWriter) -> None:
    bid(log)
    log.wait(WINDOW_MS)
    bid(log, event_id=log.ids[-1].upper())


def poor_with_several_bids(log: LogWriter) -> None:
    bid(log, price=60)
    bid(log, price=50)
    bid(log, price=40)


def withdrawal_between_bids(log: LogWriter) -> None:
    log.withdraw("a1", log.bid("a1", resource="gpu", quantity=1, unit_price_micros=60))
    bid(log, price=60)


def transfer_between_bids(log: LogWriter) -> None:
    bid(log, "a2", price=100)
    log.transfer("a1", to="a2", amount_micros=50)
    bid(log, "a2", price=50)


def grant_between_bids(log: LogWriter) -> None:
    bid(log, price=100)
    log.grant("a1", 50)
    bid(log, price=50)


def first_credits_between_bids(log: LogWriter) -> None:
    bid(log, "a3", price=5)
    log.grant("a3", 50)
    bid(log, "a3", price=5)


def opening_between_bids(log: LogWriter) -> None:
    bid(log, market="m2")
    log.open(market="m2", gpu={"supply": 1})
    bid(log, market="m2")


def wide_account(log: LogWriter) -> None:
    _wide(log)
    for _ in range(2):
        log.bid("a1", resource="vast", quantity=4_000, unit_price_micros=10**15)


def account_that_becomes_narrow(log: LogWriter) -> None:
    _wide(log)
    log.bid("a1", resource="vast", quantity=500, unit_price_micros=10**15)
    log.bid("a1", resource="vast", quantity=10**12, unit_price_micros=1_000)
    log.wait(WINDOW_MS)
    bid(log)


def _wide(log: LogWriter) -> None:
    for _ in range(5):
        grants = [
            log.command("credits_granted", agent_id="a1", amount_micros=10**15) for _ in range(1000)
        ]
        log.append("market.m1.grant", grants)
    log.wait(WINDOW_MS)


SLOW: Final[dict[str, tuple[Callable[[LogWriter], None], int]]] = {
    "over quota": (over_quota, 3),
    "a repeated id": (repeated_id, 2),
    "an id of an earlier window": (repeated_id_of_an_earlier_window, 1),
    "poor, with several bids": (poor_with_several_bids, 3),
    "wide": (wide_account, 2),
    "no longer wide": (account_that_becomes_narrow, 2),
}
TOUCHED: Final = {
    "a withdrawal": withdrawal_between_bids,
    "a transfer": transfer_between_bids,
    "a grant": grant_between_bids,
    "first credits": first_credits_between_bids,
}


def settled_alike(log: LogWriter) -> dict[str, int]:
    """How many bids took each way, in a log that settles alike on both."""
    with counted() as counts:
        fast = plain(settle(log.records))
    with one_by_one():
        assert plain(settle(log.records)) == fast
    assert fast == plain(settle(log.records, sizes=repeat(1)))
    return dict(counts)


@pytest.mark.parametrize(("write", "slow"), SLOW.values(), ids=SLOW)
def test_an_agent_whose_order_matters_is_judged_one_by_one(
    write: Callable[[LogWriter], None], slow: int
) -> None:
    """Its own bids alone: those of all others stay on the fast way."""
    log = opened(quota=2 if write is over_quota else None, rule="pay_as_bid")
    write(log)
    for _ in range(2):
        bid(log, "a2", price=3)
    counts = settled_alike(log)
    assert slow == counts["left to be judged one by one"]
    assert counts["judged over columns"] >= 2


@pytest.mark.parametrize("write", TOUCHED.values(), ids=TOUCHED)
def test_bids_among_commands_about_their_agent_keep_their_place(
    write: Callable[[LogWriter], None],
) -> None:
    """Judged before the command that funds or frees it, a bid would be refused for nothing."""
    log = opened()
    write(log)
    for agent in ("a4", "a4"):
        bid(log, agent, price=3)
    counts = settled_alike(log)
    assert 2 == counts["judged over columns"], "those whom no command names"


def test_bids_around_an_opening_are_judged_over_columns() -> None:
    """What was sent before the first opening came too early, in the same slice too."""
    log = opened()
    opening_between_bids(log)
    assert 2 == settled_alike(log)["judged over columns"]


def test_an_agent_with_one_bid_that_it_cannot_afford_stays_on_the_fast_way() -> None:
    """Whoever bids above its credits must not cost more than others do."""
    log = opened()
    bid(log, price=101)
    bid(log, "a2", price=100)
    assert {"judged over columns": 2, "left to be judged one by one": 0} == {
        name: count for name, count in settled_alike(log).items() if "judged" in name
    }


def test_a_flood_beyond_the_quota_leaves_others_on_the_fast_way() -> None:
    """One agent's flood must not decide how the bids of all others are judged."""
    log = opened(quota=50)
    log.append("market.m1.bid.a1", [_unit(log) for _ in range(200)])
    log.append("market.m1.bid.a2", [_unit(log) for _ in range(20)])
    counts = settled_alike(log)
    assert (20, 200) == (counts["judged over columns"], counts["left to be judged one by one"])


def test_a_cost_whose_products_exceed_64_bits_is_exact() -> None:
    """The price level of a bundle is a fraction: products with it wrap long before costs do."""
    log = LogWriter()
    log.open(gpu={"supply": 10**9}, vast={"supply": 1})
    for agent in ("a1", "a2"):
        log.grant(agent, 10**15)
    winner = log.bid("a1", resource="gpu", quantity=10**9 - 1, unit_price_micros=5_000)
    asked = 500_000_009
    limit = asked * 3_000 + 1
    log.bundle("a2", {"gpu": asked, "vast": 1}, limit_micros=limit)
    assert settled_alike(log)
    paid = SettledLog(settle(log.records)).outcome(winner).paid_micros
    assert ceil((10**9 - 1) * Fraction(limit, asked)) == paid


def test_a_resource_is_numbered_when_the_log_first_names_it() -> None:
    """Odd messages are decoded after the others; numbers that followed would depend on batches."""
    log = opened()
    odd = json.dumps(_unit(log) | {"resource": "vast"}).replace("bid_placed", "bid\\u005fplaced")
    log.append("market.m1.bid.a1", odd.encode())
    bid(log)
    at_once, singly = Shard(WINDOW_MS), Shard(WINDOW_MS)
    at_once.read(log.records)
    for record in log.records:
        singly.read([record])
    numbered = [shard.state.accounts.names.resources for shard in (at_once, singly)]
    assert [["vast", "gpu"]] * 2 == numbered


def _unit(log: LogWriter) -> dict[str, Any]:
    fields = {"resource": "gpu", "quantity": 1, "unit_price_micros": 1}
    return {**log.command("bid_placed"), **fields}


def test_a_rule_that_columns_do_not_know_is_cleared_one_by_one() -> None:
    """A market's rule sends its own window the slow way, and no other market's."""
    log = opened(rule="vickrey")
    log.open(market="m2", gpu={"supply": 1})
    log.grant("a1", 100, market="m2")
    bid(log)
    bid(log, market="m2")
    counts = settled_alike(log)
    assert counts["cleared one by one"] == 2
    assert counts["cleared over columns"] == 1


def test_more_bids_than_a_sum_of_units_can_hold_are_cleared_one_by_one() -> None:
    """The total of units is a running sum: it must not wrap, whatever is asked."""
    largest = 10**12
    assert ROWS_MAX * largest < 2**63 <= 4 * ROWS_MAX * largest
    market = books.terms(gpu=books.resource(1))
    one = books.as_columns([books.unit(1, "a1", "gpu", 1, price=1)])
    rows = one.seq.repeat(ROWS_MAX + 1) - 1
    assert clear_many(market, one, rows) is None


def test_a_crowd_of_bids_that_together_exceed_64_bits_is_refused() -> None:
    """Each is above the credits, and their sum would be below nothing."""
    log = opened(quota=10_000)
    for _ in range(10):
        batch = [_unit(log) | {"unit_price_micros": 10**15} for _ in range(1_000)]
        log.append("market.m1.bid.a1", batch)
    assert 10_000 * 10**15 > 2**63
    assert 10_000 == settled_alike(log)["left to be judged one by one"]


@pytest.mark.parametrize("balance", [2**62 - 1, 2**62, 2**62 + 1, 2**63, 2**64])
def test_holds_beside_what_a_column_holds(balance: int) -> None:
    """A sum of holds that wraps around is negative, and affordable by everyone."""
    accounts = fresh_shard().accounts
    number = accounts.names.account("m1", "a1")
    accounts.make_room()
    accounts.set_balance(number, balance)
    limits = [2**62 - 10**15, 10**15 - 1, 1, 1, 10**15]
    admitted = []
    for seq, limit in enumerate(limits, 1):
        run = books.as_columns([books.unit(seq, "a1", "gpu", 1, price=1)])
        run.account[:], run.names = number, accounts.names
        run.quantity[:], run.unit_price_micros[:] = (
            (1, limit) if limit <= 10**15 else (limit // 2**20, 2**20)
        )
        run.resource[:] = accounts.names.resource("gpu")
        market = books.terms(gpu=books.resource(10**14))
        left = admit_many(run, run.seq - seq, {"m1": market}, accounts)
        admitted.append(len(left))
    assert {len(limits) if balance > 2**62 else 0} == {sum(admitted)}
