"""A shard in one loop: each record judged when it is read, each window closed by the next.

Promise: written from SEMANTICS version 2 alone, with the standard library alone, and sharing no
code with the real flow, so that both can only agree by meaning the same. It trades every kind of
speed for being obvious. Every window up to the end of the log is closed, as by a final tick after
it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.twin import meters
from tests.twin.admission import BEFORE_DUPLICATE, BEFORE_QUOTA, NS_PER_MS, Case, judge
from tests.twin.auction import Outcome, clear
from tests.twin.market import Market, OpenBid, Rules
from tests.twin.offers import Offer
from tests.twin.results import (
    Window,
    agent_result,
    agents_with_results,
    market_window,
    window_message,
)
from tests.twin.rows import LogRecord, Row, Rows
from tests.twin.wire import INT64_MAX, Address, Event, read_address, read_events

__all__ = ["LogRecord", "Rows", "run"]

DEAD_LETTER_BYTES: Final = 1_024
NS_PER_US: Final = 1_000


def run(records: Iterable[LogRecord], *, window_ms: int, shard: int = 0) -> Rows:
    """The rows of the ledger that a log gives, with every window up to its end closed."""
    twin = _Twin(window_ms=window_ms, shard=shard)
    for record in records:
        twin.read(record)
    twin.close()
    return twin.rows_at_end()


class _Twin:
    def __init__(self, *, window_ms: int, shard: int) -> None:
        self.window_ms, self.shard = window_ms, shard
        self.now_ns = 0
        self.window: Window | None = None
        self.markets: dict[str, Market] = {}
        self.rows = Rows()

    @property
    def now_us(self) -> int:
        return self.now_ns // NS_PER_US

    def read(self, record: LogRecord) -> None:
        self.now_ns = max(self.now_ns, record.timestamp_ns)
        window = self._enter_window(record.seq)
        address = read_address(record.subject)
        if address is None:
            window.only_ticks = False
            self._bury(window, record, 0, record.payload)
        elif address.channel != "clock":
            window.only_ticks = False
            for ord_, reading in enumerate(read_events(address.channel, record.payload)):
                if reading.event is None:
                    self._bury(window, record, ord_, reading.text)
                elif address.channel == "meter":
                    self._meter(window, address, reading.event, ord_)
                else:
                    self._decide(window, self._case(window, address, reading.event, ord_))

    def _enter_window(self, seq: int) -> Window:
        window_id = self.now_ns // (self.window_ms * NS_PER_MS)
        if self.window is None or self.window.window_id != window_id:
            self.close()
            self.window = Window(
                shard=self.shard,
                window_id=window_id,
                window_ms=self.window_ms,
                first_seq=seq,
                last_seq=seq,
            )
            for market in self.markets.values():
                market.enter(window_id)
        self.window.last_seq = seq
        return self.window

    def _bury(self, window: Window, record: LogRecord, ord_: int, text: bytes) -> None:
        letter = {"shard": self.shard, "seq": record.seq, "ord": ord_, "subject": record.subject}
        letter |= {"payload": text[:DEAD_LETTER_BYTES], "payload_bytes": len(text)}
        window.rows.dead_letters.append(letter | {"timestamp_us": self.now_us})

    def _case(self, window: Window, address: Address, event: Event, ord_: int) -> Case:
        market = self.markets.setdefault(address.market, Market())
        seq, window_id = window.last_seq, window.window_id
        return Case(address, event, market, seq, ord_, window_id, self.now_ns)

    def _meter(self, window: Window, address: Address, event: Event, ord_: int) -> None:
        market, number = self.markets.setdefault(address.market, Market()), int(address.party)
        market.heard = True
        place = {"market": address.market, "seq": window.last_seq, "timestamp_us": self.now_us}
        case = meters.MeterCase(
            event,
            number,
            is_open=market.opened is not None,
            count=market.meters,
            lag_windows=market.lag_windows,
            known=market.known,
            window_id=window.window_id,
            place=place,
        )
        reason = meters.judge(market.spending, case)
        if reason is not None:
            row = place | {"agent_id": f"meter.{number}", "event_id": None, "ord": ord_}
            row |= {"shard": self.shard, "window_id": window.window_id, "type": event["type"]}
            window.rows.commands.append(row | {"status": "rejected", "reason": reason})

    # --- what an event does -----------------------------------------------------------------------

    def _decide(self, window: Window, case: Case) -> None:
        reason = judge(case)
        _remember(case, reason)
        if case.type == "bid_placed":
            self._place_bid(window, case, reason)
            return
        status = {"status": "rejected" if reason else "applied", "reason": reason}
        window.rows.commands.append(self._row(case) | {"type": case.type} | status)
        if case.by_agent and "purpose" in case.event:
            window.purposes[case.seq, case.ord] = case.event["purpose"]
        if reason is None:
            self._apply(window, case)

    def _row(self, case: Case) -> Row:
        """What the rows of bids, commands and transactions say alike of the event they show."""
        return {
            "market": case.address.market,
            "agent_id": case.sender,
            "event_id": case.event["event_id"],
            "seq": case.seq,
            "ord": case.ord,
            "shard": self.shard,
            "window_id": case.window_id,
            "timestamp_us": self.now_us,
        }

    def _place_bid(self, window: Window, case: Case, reason: str | None) -> None:
        asked, hold = case.asked, case.hold_micros
        is_bundle = "bundle" in case.event
        least = None if is_bundle else case.event.get("min_quantity", 1)
        row = self._row(case) | {
            "kind": "bundle" if is_bundle else "unit",
            "bundle": asked,
            "min_quantity": least,
            "limit_micros": hold if hold <= INT64_MAX else None,
            "status": "rejected" if reason else "open",
            "reason": reason,
            "paid_micros": 0,
        }
        window.rows.bids.append(row)
        if reason is None:
            offer = Offer((case.seq, case.ord), case.sender, asked, hold, least)
            case.market.bids.append(OpenBid(offer, row))

    def _apply(self, window: Window, case: Case) -> None:
        market, event, party = case.market, case.event, case.address.party
        match case.type:
            case "credits_granted":
                self._credit(window, case, kind="grant", taker=event["agent_id"])
            case "credits_transferred":
                self._credit(window, case, kind="transfer", taker=event["to_agent_id"])
            case "bid_withdrawn":
                _withdraw(market, party, event["bid_event_id"])
            case "market_opened":
                market.open(event, seq=case.seq, window_id=case.window_id)
            case "market_closed":
                market.is_open = False
            case "supply_changed":
                market.supplies[event["resource"]] = event["supply"]
            case "price_quoted":
                market.quotes[party] = (event["price_micros"], case.window_id)

    def _credit(self, window: Window, case: Case, *, kind: str, taker: str) -> None:
        row = self._row(case) | {"kind": kind, "purpose": case.event.get("purpose")}
        self._move(window, case.market, row, taker, case.event["amount_micros"])
        case.market.known.add(taker)

    def _move(self, window: Window, market: Market, row: Row, taker: str, amount: int) -> None:
        """Write the two postings of one movement, from the agent of the row to the taker."""
        giver = row["agent_id"]
        txn_id = f"{row['shard']}-{row['seq']}-{row['ord']}"
        for agent, other, signed in ((giver, taker, -amount), (taker, giver, amount)):
            market.balances[agent] = market.balances.get(agent, 0) + signed
            posting = {"agent_id": agent, "counterparty": other, "amount_micros": signed}
            window.rows.transactions.append(row | posting | {"txn_id": txn_id})

    # --- closing ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Settle the open window, if there is one and it holds more than ticks."""
        window = self.window
        if window is None or window.only_ticks:
            return
        window.rows.windows.append(window.row())
        for name, market in sorted(self.markets.items()):
            if market.active and market.in_force is not None:
                self._settle_market(window, name, market, market.in_force)
                _make_lots(window, name, market, market.in_force)
        for market in self.markets.values():
            if market.heard:
                market.spending.last_heard = window.window_id
        for name, agent in sorted(agents_with_results(window)):
            balance = self.markets[name].balances.get(agent, 0)
            result = agent_result(window, name, agent, balance_micros=balance)
            window.rows.agent_results.append(result)
        self.rows.add(window.rows)

    def _settle_market(self, window: Window, name: str, market: Market, rules: Rules) -> None:
        bids, market.bids = market.bids, []
        outcome = clear(rules.rule, rules.terms, [bid.offer for bid in bids])
        for bid in bids:
            self._settle_bid(window, market, bid, outcome)
        window.rows.prices += _prices(window, name, rules, outcome)
        summary = market_window(window, name, rules.rule)
        window.rows.market_windows.append(summary)
        window.rows.window_messages.append(window_message(window, summary))

    def _settle_bid(self, window: Window, market: Market, bid: OpenBid, outcome: Outcome) -> None:
        place, row = bid.offer.place, bid.row
        won, paid = outcome.won.get(place, {}), outcome.paid_micros.get(place, 0)
        filled = "won" if won == bid.offer.asked else "partially_won"
        row |= {"status": filled if won else "lost", "paid_micros": paid}
        names = ("market", "window_id", "seq", "ord", "event_id", "agent_id", "timestamp_us")
        short = {name: row[name] for name in names}
        window.won[place] = won
        for r, quantity in won.items():
            window.rows.allocations.append(short | {"resource": r, "quantity": quantity})
        if paid:
            payment = short | {"shard": self.shard, "kind": "payment", "purpose": None}
            self._move(window, market, payment, "house", paid)
        if place in outcome.lost_value_micros:
            lost = {"lost_value_micros": outcome.lost_value_micros[place]}
            window.rows.paradoxical_rejections.append(row | lost)

    def rows_at_end(self) -> Rows:
        """All rows, with those that only the end of the log decides."""
        for name, market in sorted(self.markets.items()):
            for agent, balance in market.balances.items():
                account = {"market": name, "agent_id": agent, "balance_micros": balance}
                self.rows.accounts.append(account)
            if market.opened is not None:
                row = {"market": name, "shard": self.shard} | market.row()
                self.rows.markets.append(row)
                self.rows.resources += [{"market": name} | row for row in market.resource_rows()]
                views = meters.views(
                    market.spending, name, count=market.meters, lag_windows=market.lag_windows
                )
                self.rows.add(Rows(**views))
        return self.rows


def _make_lots(window: Window, name: str, market: Market, rules: Rules) -> None:
    """What each agent won of a metered resource in the window, all its bids together."""
    won: dict[tuple[str, str], int] = {}
    for row in window.rows.allocations:
        if row["market"] == name and rules.allowances[row["resource"]] >= 1:
            owner = row["agent_id"], row["resource"]
            won[owner] = won.get(owner, 0) + row["quantity"]
    for (agent, resource), units in won.items():
        k = window.window_id
        last = k + rules.allowances[resource]
        market.spending.win(agent, resource, units, k=k, last=last, meters=market.meters)


def _remember(case: Case, reason: str | None) -> None:
    """Note what counts of an event whether or not it is applied."""
    market = case.market
    market.heard = True
    if case.type != "price_quoted":  # any other command, for whatever reason it was refused
        market.active = True
    if case.by_agent and reason not in BEFORE_QUOTA:
        market.counted[case.sender] = market.counted.get(case.sender, 0) + 1
    if reason not in BEFORE_DUPLICATE:
        market.used.add((case.sender, case.event["event_id"]))


def _withdraw(market: Market, agent: str, bid_event_id: str) -> None:
    bid = market.own_bid(agent, bid_event_id)
    assert bid is not None, "an applied withdrawal names an open bid of its sender"
    bid.row["status"] = "withdrawn"
    market.bids.remove(bid)


def _prices(window: Window, name: str, rules: Rules, outcome: Outcome) -> list[Row]:
    return [
        {
            "market": name,
            "window_id": window.window_id,
            "resource": r,
            "reference_micros": terms.reference_micros,
            "reserve_micros": terms.reserve_micros,
            "clearing_micros": outcome.clearing_micros[r],
            "supply": terms.supply,
            "demanded": outcome.demanded[r],
            "wanted": outcome.wanted[r],
            "sold": outcome.sold[r],
            "stale": terms.stale,
        }
        for r, terms in rules.terms.items()
    ]
