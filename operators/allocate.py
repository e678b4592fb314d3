"""Run the allocation windows of a shard: validate balances, hold, clear, settle.

This is the stateful heart of the flow. It is three pure modules under one step, because judging a
bid needs the settlement of the window before it: `admit` (may this bid stand, and what does it
hold), `clear` (who wins what at which price) and `settle` (payments, prices, digest).

Promise: what comes out of a closed window is complete, and depends on the log alone.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from operators.admit import admit_bid, check_sender, transfer, withdraw
from operators.settle import balances_of, digest_of, market_row, settle_market
from state.accounts import Bid, MarketAccounts, ShardAccounts, bid_key
from state.log import (
    Event,
    EventSlice,
    Malformed,
    OperatorCommand,
    PricedSlice,
    ReviewedCommand,
)
from state.market import Terms
from state.window import (
    BalanceRow,
    ClosedWindow,
    CommandRow,
    DeadLetter,
    EmptyWindow,
    MarketRow,
    PriceRow,
    Settlement,
)
from walras_schemas import (
    TREASURY,
    BidWithdrawn,
    CreditsGranted,
    CreditsTransferred,
    RejectionReason,
)

QUOTE = "price_quoted"


@dataclass(slots=True)
class OpenWindow:
    """The rows that the open window has gathered so far, in (seq, ord) order."""

    first_seq: int
    bids: list[Bid] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    """Markets in which there was any command but a quote, refused ones too."""
    commands: list[CommandRow] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)

    def add(self, row: CommandRow) -> None:
        """Take in a command's row; a quote alone leaves its market at rest."""
        self.commands.append(row)
        if row.type != QUOTE:
            self.active.add(row.market)

    @property
    def is_empty(self) -> bool:
        """True while nothing but ticks was seen."""
        return not (self.bids or self.commands or self.dead_letters)


@dataclass(slots=True)
class Allocate:
    """The step: remembers the agents' books and the open window."""

    accounts: ShardAccounts
    _open: OpenWindow | None = None

    def __call__(self, priced: PricedSlice) -> Iterator[ClosedWindow]:
        """Judge the slice's commands; yield the window when the slice closes it."""
        window = self._open = self._open or OpenWindow(first_seq=priced.slice.first_seq)
        for event in priced.slice.events:
            terms = priced.terms.get(event.market)
            if isinstance(event, Bid):
                self._place(event, terms)
                window.bids.append(event)
                window.active.add(event.market)
            else:
                self._apply(event, window, terms)
        if priced.slice.closes:
            self._open = None
            yield _empty(window, priced.slice) if window.is_empty else self._close(window, priced)

    def _place(self, bid: Bid, terms: Terms | None) -> None:
        accounts = self._accounts_of_active(bid.market, bid.agent, terms)
        key = bid_key(bid.market, bid.agent, bid.event_id)
        bid.reason = check_sender(terms, accounts, self.accounts.dedupe, bid, key)
        if bid.reason is None:
            assert terms is not None
            admit_bid(terms, accounts, key, bid)

    def _apply(self, event: Event, window: OpenWindow, terms: Terms | None) -> None:
        match event.command:
            case BidWithdrawn() as command:
                accounts = self._accounts_of_active(event.market, event.sender, terms)
                reason = self._check(accounts, event, command, terms)
                reason = reason or withdraw(accounts, event, command)
                window.add(_row(event, command, reason))
            case CreditsTransferred() as command:
                accounts = self._accounts_of_active(event.market, event.sender, terms)
                reason = self._check(accounts, event, command, terms)
                reason = reason or transfer(accounts, event, command)
                window.add(_row(event, command, reason))
            case ReviewedCommand(command, reason):
                window.add(self._record(event, command, reason))
            case Malformed() as letter:
                window.dead_letters.append(_dead_letter(event, letter))
            case command:
                raise AssertionError(f"join_prices left {command!r} unjudged")

    def _check(
        self,
        accounts: MarketAccounts,
        event: Event,
        command: BidWithdrawn | CreditsTransferred,
        terms: Terms | None,
    ) -> RejectionReason | None:
        key = bid_key(event.market, event.sender, command.event_id.lower())
        return check_sender(terms, accounts, self.accounts.dedupe, event, key)

    def _record(
        self, event: Event, command: OperatorCommand, reason: RejectionReason | None
    ) -> CommandRow:
        """The row of an operator's command; an applied grant moves its credits here."""
        if isinstance(command, CreditsGranted) and reason is None:
            self._accounts(event.market).move(
                debit=TREASURY, credit=command.agent_id, amount_micros=command.amount_micros
            )
        return _row(event, command, reason)

    def _accounts(self, market: str) -> MarketAccounts:
        accounts = self.accounts.markets.get(market)
        if accounts is None:
            accounts = self.accounts.markets[market] = MarketAccounts()
        return accounts

    def _accounts_of_active(self, market: str, agent: str, terms: Terms | None) -> MarketAccounts:
        """The accounts that an agent's command is checked by; an unknown market keeps none."""
        accounts = self._accounts(market) if terms else MarketAccounts()
        if agent in accounts.by_agent:
            accounts.active.add(agent)
        return accounts

    def _close(self, window: OpenWindow, priced: PricedSlice) -> Settlement:
        closing = priced.slice
        prices: list[PriceRow] = []
        markets: list[MarketRow] = []
        balances: list[BalanceRow] = []
        commands = Counter(row.market for row in window.commands)
        bids: defaultdict[str, list[Bid]] = defaultdict(list)
        for bid in window.bids:
            bids[bid.market].append(bid)
        for market in sorted(window.active.intersection(priced.terms)):
            terms, accounts = priced.terms[market], self._accounts(market)
            prices += settle_market(market, terms, accounts, window_id=closing.window_id)
            markets.append(market_row(market, terms, bids[market], commands[market]))
            balances += balances_of(market, accounts)
        prev_digest = self.accounts.digest
        self.accounts.digest = digest_of(
            prev_digest,
            window_id=closing.window_id,
            bids=window.bids,
            commands=window.commands,
            dead_letters=window.dead_letters,
            prices=prices,
            markets=markets,
            balances=balances,
        )
        return Settlement(
            shard=closing.shard,
            window_id=closing.window_id,
            first_seq=window.first_seq,
            next_seq=closing.next_seq,
            stream_time_ns=closing.stream_time_ns,
            prev_digest=prev_digest,
            digest=self.accounts.digest,
            bids=window.bids,
            commands=window.commands,
            dead_letters=window.dead_letters,
            prices=prices,
            markets=markets,
            balances=balances,
            listings=priced.listings,
        )


def _empty(window: OpenWindow, closing: EventSlice) -> EmptyWindow:
    return EmptyWindow(
        shard=closing.shard,
        window_id=closing.window_id,
        first_seq=window.first_seq,
        next_seq=closing.next_seq,
        stream_time_ns=closing.stream_time_ns,
    )


def _row(
    event: Event,
    command: BidWithdrawn | CreditsTransferred | OperatorCommand,
    reason: RejectionReason | None,
) -> CommandRow:
    amount_micros = recipient = purpose = None
    if isinstance(command, CreditsTransferred | CreditsGranted):
        amount_micros, purpose = command.amount_micros, command.purpose
        granted = isinstance(command, CreditsGranted)
        recipient = command.agent_id if granted else command.to_agent_id
    return CommandRow(
        seq=event.seq,
        ord=event.ord,
        time_ns=event.time_ns,
        market=event.market,
        sender=event.sender,
        event_id=command.event_id.lower(),
        type=command.type,
        reason=reason,
        amount_micros=amount_micros,
        recipient=recipient,
        purpose=purpose,
    )


def _dead_letter(event: Event, letter: Malformed) -> DeadLetter:
    return DeadLetter(
        seq=event.seq,
        ord=event.ord,
        time_ns=event.time_ns,
        subject=letter.subject,
        error=letter.error,
        payload=letter.payload,
        payload_bytes=letter.payload_bytes,
    )
