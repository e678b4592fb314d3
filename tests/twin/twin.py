"""A shard told by one loop: each record judged when it is read, each window closed by the next.

Promise: written from SEMANTICS alone, with the standard library alone, and sharing no code with the
real flow, so that both can only agree by meaning the same. It trades every kind of speed for being
obvious. Every window up to the end of the log is closed, as by a final tick after it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.twin.admission import NS_PER_MS, Case, Market, OpenBid, Rules, judge, shared_reason
from tests.twin.auction import Offer, clear
from tests.twin.rows import LogRecord, Row, Rows
from tests.twin.wire import INT64_MAX, Address, Event, read_address, read_events

__all__ = ["LogRecord", "Rows", "run"]


def run(records: Iterable[LogRecord], *, window_ms: int, shard: int = 0) -> Rows:
    """The rows of the ledger that a log gives, with every window up to its end closed."""
    twin = _Twin(window_ns=window_ms * NS_PER_MS, shard=shard)
    for record in records:
        twin.read(record)
    twin.close()
    return twin.rows_at_end()


class _Twin:
    def __init__(self, *, window_ns: int, shard: int) -> None:
        self.window_ns, self.shard = window_ns, shard
        self.now_ns = 0
        self.window: Row = {"window_id": None}
        self.only_ticks = True
        self.markets: dict[str, Market] = {}
        self.rows = Rows()

    def read(self, record: LogRecord) -> None:
        self.now_ns = max(self.now_ns, record.timestamp_ns)
        self._enter_window(record.seq)
        address = read_address(record.subject)
        if address is not None and address.channel == "clock":
            return
        self.only_ticks = False
        events = [None] if address is None else read_events(address.channel, record.payload)
        for ord_, event in enumerate(events):
            if address is None or event is None:
                letter = {"seq": record.seq, "ord": ord_, "subject": record.subject}
                self.rows.dead_letters.append(letter)
            else:
                self._obey(self._case(address, event, record.seq, ord_))

    def _enter_window(self, seq: int) -> None:
        window_id = self.now_ns // self.window_ns
        if window_id != self.window["window_id"]:
            self.close()
            self.window = {"shard": self.shard, "window_id": window_id, "first_seq": seq}
            self.only_ticks = True
            for market in self.markets.values():
                market.in_force = market.rules_now(window_id)
        self.window["last_seq"] = seq

    def _case(self, address: Address, event: Event, seq: int, ord_: int) -> Case:
        market = self.markets.setdefault(address.market, Market())
        window_id = self.window["window_id"]
        return Case(address, event, market, seq, ord_, window_id, self.now_ns)

    # --- what an event does -----------------------------------------------------------------------

    def _obey(self, case: Case) -> None:
        reason = judge(case)
        if shared_reason(case) in (None, "duplicate"):
            case.market.used.add((case.sender, case.event["event_id"]))
        if case.event["type"] == "bid_placed":
            self._place_bid(case, reason)
        else:
            status = {"status": "rejected" if reason else "applied", "reason": reason}
            self.rows.commands.append(_row(case) | {"type": case.event["type"]} | status)
            if reason is None:
                self._apply(case)

    def _place_bid(self, case: Case, reason: str | None) -> None:
        wanted, cost, event = case.wanted, case.cost_micros, case.event
        row = _row(case) | {"shard": self.shard, "timestamp_ns": case.now_ns}
        row |= {"kind": "bundle" if "bundle" in event else "unit", "bundle": wanted}
        row |= {"limit_micros": cost if cost <= INT64_MAX else None, "paid_micros": 0}
        row |= {"status": "rejected" if reason else "open", "reason": reason}
        self.rows.bids.append(row)
        if reason is None:
            least = None if "bundle" in event else event.get("min_quantity", 1)
            offer = Offer((case.seq, case.ord), case.sender, wanted, cost, least)
            case.market.bids.append(OpenBid(offer, row))

    def _apply(self, case: Case) -> None:
        market, event, party = case.market, case.event, case.address.party
        match event["type"]:
            case "credits_granted":
                self._credit(case, kind="grant", taker=event["agent_id"])
            case "credits_transferred":
                self._credit(case, kind="transfer", taker=event["to_agent_id"])
            case "bid_withdrawn":
                _withdraw(market, party, event["bid_event_id"])
            case "market_opened":
                _open(market, event, case.window_id)
            case "supply_changed":
                market.supplies[event["resource"]] = event["supply"]
            case "price_quoted":
                market.quotes[party] = (event["price_micros"], case.window_id)

    def _credit(self, case: Case, *, kind: str, taker: str) -> None:
        row = _row(case) | {"timestamp_ns": case.now_ns, "kind": kind}
        self._move(case.market, row, taker, case.event["amount_micros"])
        case.market.known.add(taker)

    def _move(self, market: Market, row: Row, taker: str, amount_micros: int) -> None:
        """Write the two postings of one movement, from the agent of the row to the taker."""
        giver = row["agent_id"]
        for agent, other, signed in ((giver, taker, -amount_micros), (taker, giver, amount_micros)):
            market.balances[agent] = market.balances.get(agent, 0) + signed
            posting = {"agent_id": agent, "counterparty": other, "amount_micros": signed}
            self.rows.transactions.append(row | posting | {"shard": self.shard})

    # --- closing ----------------------------------------------------------------------------------

    def close(self) -> None:
        if self.only_ticks:
            return
        self.rows.windows.append(self.window)
        for name, market in self.markets.items():
            if market.in_force is not None:
                self._clear(name, market, market.in_force)

    def _clear(self, name: str, market: Market, rules: Rules) -> None:
        bids, market.bids = market.bids, []
        outcome = clear(rules.rule, rules.terms, [bid.offer for bid in bids])
        for bid in bids:
            place = bid.offer.place
            won, paid = outcome.won.get(place, {}), outcome.paid_micros.get(place, 0)
            self._settle(market, bid, won, paid)
        for r, terms in rules.terms.items():
            row = {"market": name, "window_id": self.window["window_id"], "resource": r}
            row |= {"reference_micros": terms.reference_micros, "supply": terms.supply}
            row |= {"clearing_micros": outcome.clearing_micros[r], "stale": terms.stale}
            row["demanded"] = sum(bid.offer.wanted.get(r, 0) for bid in bids)
            row["sold"] = sum(won.get(r, 0) for won in outcome.won.values())
            self.rows.prices.append(row)

    def _settle(self, market: Market, bid: OpenBid, won: dict[str, int], paid: int) -> None:
        filled = "won" if won == bid.offer.wanted else "partially_won"
        bid.row["status"] = filled if won else "lost"
        bid.row["paid_micros"] = paid
        names = ("market", "window_id", "seq", "ord", "event_id", "agent_id", "timestamp_ns")
        row = {name: bid.row[name] for name in names}
        for r, quantity in won.items():
            self.rows.allocations.append(row | {"resource": r, "quantity": quantity})
        if paid:
            self._move(market, row | {"kind": "payment"}, "house", paid)

    def rows_at_end(self) -> Rows:
        self.rows.accounts = [
            {"market": name, "agent_id": agent, "balance_micros": balance}
            for name, market in self.markets.items()
            for agent, balance in market.balances.items()
        ]
        return self.rows


def _row(case: Case) -> Row:
    return {
        "market": case.address.market,
        "agent_id": case.sender,
        "event_id": case.event["event_id"],
        "seq": case.seq,
        "ord": case.ord,
        "window_id": case.window_id,
    }


def _withdraw(market: Market, agent: str, bid_event_id: str) -> None:
    bid = market.own_bid(agent, bid_event_id)
    assert bid is not None, "an applied withdrawal names an open bid of its sender"
    bid.row["status"] = "withdrawn"
    market.bids.remove(bid)


def _open(market: Market, event: Event, window_id: int) -> None:
    first = market.opened is None
    market.opened = event
    market.supplies = {r: listed["supply"] for r, listed in event["resources"].items()}
    if first:
        market.in_force = market.rules_now(window_id)
