"""Small closed windows, written by hand, that follow one another like those of a real shard."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from hashlib import sha256
from typing import Any, Final, TypeVar

from msgspec import structs
from psycopg import Connection

from connectors.postgres.ledger.transaction import claim
from state.bids import Bid
from state.market import ListedResource, Listing, Quote
from state.names import Names, Owner
from state.shard import ShardState, StreamIdentity
from state.window import (
    CommandRow,
    DeadLetter,
    EmptyWindow,
    MarketRow,
    PriceRow,
    Settlement,
)
from tests.connectors.postgres.columns import balances_of, columns_of, movers
from walras_schemas import BidStatus

WINDOW_MS: Final = 1_000
NS_PER_MS: Final = 1_000_000
START_WINDOW: Final = 1_760_000_000
START_NS: Final = START_WINDOW * WINDOW_MS * NS_PER_MS
LOG: Final = StreamIdentity("WALRAS_0", 1_759_999_999_123_456_789)

R = TypeVar("R")


def claim_log(conn: Connection, shard: int = 0) -> ShardState:
    """Claim a shard of the log that all these windows come from."""
    return claim(conn, shard, identity=LOG, window_ms=WINDOW_MS)


def event_id(number: int, *, at_ms: int = START_WINDOW * WINDOW_MS) -> str:
    """An id whose own time is `at_ms`."""
    return f"{at_ms >> 16:08x}-{at_ms & 0xFFFF:04x}-7000-8000-{number:012x}"


def grant(seq: int, agent: str, amount_micros: int, *, market: str = "m1") -> CommandRow:
    return CommandRow(
        seq=seq,
        ord=0,
        time_ns=START_NS + 1_234_567,
        market=market,
        sender="treasury",
        event_id=event_id(seq),
        type="credits_granted",
        reason=None,
        amount_micros=amount_micros,
        recipient=agent,
    )


def transfer(seq: int, sender: str, recipient: str, amount_micros: int) -> CommandRow:
    row = grant(seq, recipient, amount_micros)
    return structs.replace(row, sender=sender, type="credits_transferred")


def won(seq: int, agent: str, units: int, paid_micros: int, *, time_ns: int = START_NS) -> Bid:
    """A unit bid for `gpu` that won all it asked for."""
    return Bid(
        seq=seq,
        ord=0,
        time_ns=time_ns,
        market="m1",
        agent=agent,
        event_id=event_id(seq),
        resource="gpu",
        quantity=units,
        unit_price_micros=paid_micros,
        min_quantity=1,
        bundle=None,
        status=BidStatus.WON,
        won=units,
        paid_micros=paid_micros,
    )


def lost(seq: int, agent: str) -> Bid:
    bid = won(seq, agent, 1, 1)
    bid.status, bid.won, bid.paid_micros = BidStatus.LOST, 0, 0
    return bid


def bundle_won(seq: int, agent: str, bundle: dict[str, int], paid_micros: int) -> Bid:
    bid = won(seq, agent, 1, paid_micros)
    bid.resource, bid.bundle = None, bundle
    return bid


def price(*, sold: int = 0, clearing_micros: int | None = None) -> PriceRow:
    return PriceRow(
        market="m1",
        resource="gpu",
        reference_micros=10,
        reserve_micros=2,
        clearing_micros=clearing_micros,
        supply=100,
        demanded=sold + 2,
        wanted=sold + 1,
        sold=sold,
        stale=False,
    )


def market_row(*, paid_micros: int = 0) -> MarketRow:
    return MarketRow(
        market="m1",
        rule="uniform",
        agents=2,
        bids=3,
        won=4,
        partially_won=5,
        lost=6,
        withdrawn=7,
        rejected=8,
        commands=9,
        paid_micros=paid_micros,
        offered_micros=2**63,
        served_micros=10**30,
    )


def balances(market: str = "m1", **micros: int) -> dict[Owner, int]:
    return {(market, owner): balance for owner, balance in micros.items()}


def listing(market: str = "m1", *, opened_at: tuple[int, int] = (1, 0)) -> Listing:
    return Listing(
        market=market,
        opened_at=opened_at,
        opened_seq=opened_at[0],
        is_open=True,
        rule="uniform",
        stale_after_windows=60,
        max_commands=1000,
        lag_windows=600,
        meters=1,
        resources={
            "cpu": ListedResource(5, 3, 0, 0, 0),
            "gpu": ListedResource(100, 10, 2, 500_000, 7),
        },
        quotes={"gpu": Quote(11, START_WINDOW), "tape": Quote(4, START_WINDOW)},
    )


def dead_letter(seq: int, subject: str, payload: bytes, *, error: str = "not JSON") -> DeadLetter:
    return DeadLetter(
        seq=seq,
        ord=0,
        time_ns=START_NS,
        subject=subject,
        error=error,
        payload=payload,
        payload_bytes=len(payload) + 1,
    )


def window(
    *,
    after: Settlement | EmptyWindow | None = None,
    bids: Sequence[Bid] = (),
    commands: Sequence[CommandRow] = (),
    balances: Mapping[Owner, int] | None = None,
    **rows: Any,
) -> Settlement:
    """A window of ten messages that follows `after`, else the first of its log.

    The times of its rows are those of a first window; here they become times of this one.
    """
    first_seq = after.next_seq if after else 1
    window_id = after.window_id + 1 if after else START_WINDOW
    prev_digest = after.digest if isinstance(after, Settlement) else bytes(32)
    names = deepcopy(after.bids.names) if isinstance(after, Settlement) else Names()
    accounts, resources = len(names.accounts), len(names.resources)
    later_ns = (window_id - START_WINDOW) * WINDOW_MS * NS_PER_MS
    bids = [structs.replace(bid, time_ns=bid.time_ns + later_ns) for bid in bids]
    commands = [structs.replace(row, time_ns=row.time_ns + later_ns) for row in commands]
    columns = columns_of(bids, names)
    for row in commands:
        names.account(row.market, row.sender)
        names.account(row.market, row.recipient or row.sender)
    empty: dict[str, Any] = {"dead_letters": [], "prices": [], "markets": [], "listings": ()}
    return Settlement(
        shard=0,
        window_id=window_id,
        first_seq=first_seq,
        next_seq=first_seq + 10,
        stream_time_ns=(window_id + 1) * WINDOW_MS * NS_PER_MS - 1,
        prev_digest=prev_digest,
        bids=columns,
        commands=commands,
        balances=balances_of(balances or {}, set(movers(bids, commands)), names),
        new_names=names.since(accounts, resources),
        digest=sha256(prev_digest + repr((window_id, bids, commands, rows)).encode()).digest(),
        **(empty | rows),
    )


def idle(after: Settlement | EmptyWindow) -> EmptyWindow:
    """A window of one tick that follows `after`."""
    return EmptyWindow(
        shard=0,
        window_id=after.window_id + 1,
        first_seq=after.next_seq,
        next_seq=after.next_seq + 1,
        stream_time_ns=(after.window_id + 2) * WINDOW_MS * NS_PER_MS - 1,
    )


def busy_window(*, after: Settlement | None = None) -> Settlement:
    """Something of everything that a window may hold."""
    return window(
        after=after,
        bids=[won(4, "a1", 3, 30), lost(5, "a2")],
        commands=[grant(2, "a1", 100), grant(3, "a2", 50)],
        dead_letters=[dead_letter(6, "market.m1.bid.a1", b"\x00\xff{")],
        prices=[price(sold=3, clearing_micros=10)],
        markets=[market_row()],
        balances=balances(a1=70, a2=50, house=30, treasury=-150),
        listings=[listing()],
    )


class InTheMiddle(Sequence[R]):
    """Rows that let something happen, once, when the commit comes to write them."""

    def __init__(self, rows: Sequence[R], happens: Callable[[], object]) -> None:
        self._rows = rows
        self._happens = [happens]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        return self._rows[at]

    def __iter__(self) -> Iterator[R]:
        while self._happens:
            self._happens.pop()()
        return iter(self._rows)
