"""Run the allocation windows of a shard: validate balances, hold, clear, settle.

This is the stateful heart of the flow. It is pure modules under one step, because judging a bid
needs the settlement of the window before it: `admit` (may this bid stand, and what does it hold),
`clear` (who wins what at which price) and `settle` (payments, prices, digest). Bids are judged many
at once (`admit_columns`); where an agent's own order matters, its bids and commands one by one.

Promise: what comes out of a closed window is complete, and depends on the log alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from typing import Final

import numpy as np

from operators.admit import Sent, admit_bid, check_sender, transfer
from operators.admit_columns import Rows, admit_many, keys_of
from operators.metering import judge_message, list_market
from operators.settle import settle_window
from state.accounts import ShardAccounts
from state.bids import BUNDLE, LOST, REASON_CODES, WITHDRAWN, Bids, Int32s, event_id_bytes
from state.dedupe import agent_key
from state.log import (
    Event,
    EventSlice,
    Malformed,
    MeterMessage,
    OperatorCommand,
    PricedSlice,
    ReviewedCommand,
)
from state.lots import MeteredWindow
from state.market import Terms
from state.names import Names, Senders
from state.window import ClosedWindow, CommandRow, DeadLetter, EmptyWindow
from walras_schemas import (
    TREASURY,
    BidWithdrawn,
    CreditsGranted,
    CreditsTransferred,
    MarketOpened,
    RejectionReason,
)

QUOTE: Final = "price_quoted"
UNMAPPED: Final = -1

Mention = tuple[tuple[int, int, int], str, str]
"""Where the log names an account: (seq, ord, which of the command's), its market and its owner."""


@dataclass(slots=True)
class OpenWindow:
    """What the open window has gathered so far, each kind in (seq, ord) order."""

    first_seq: int
    accounts: int
    """How many accounts had numbers before it."""
    resources: int
    runs: list[Bids] = field(default_factory=list)
    commands: list[CommandRow] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    active: set[str] = field(default_factory=set)
    """Markets in which there was any command but a quote, refused ones too."""
    metered: MeteredWindow = field(default_factory=MeteredWindow)
    _places: dict[bytes, tuple[Bids, int]] = field(default_factory=dict)
    """Where each bid of the runs indexed so far stands, by `agent_key`."""
    _indexed: int = 0

    @property
    def is_empty(self) -> bool:
        """True while nothing but ticks was seen."""
        return not (self.runs or self.commands or self.dead_letters or self.metered.touched)

    def add(self, row: CommandRow) -> None:
        """Take in a command's row; a quote alone leaves its market at rest."""
        self.commands.append(row)
        if row.type != QUOTE:
            self.active.add(row.market)

    def note(self, key: bytes, run: Bids, row: int) -> None:
        """Remember where an open bid of the run that is being judged stands."""
        self._places[key] = (run, row)

    def place_of(self, key: bytes) -> tuple[Bids, int] | None:
        """Where the admitted bid of an agent with an event id stands: its run, and its row."""
        for run in self.runs[self._indexed :]:
            rows = np.flatnonzero(run.status == LOST)
            places = ((run, row) for row in rows.tolist())
            self._places.update(zip(keys_of(run, rows), places, strict=True))
        self._indexed = len(self.runs)
        return self._places.get(key)


class AccountNumbers:
    """From the decoder's number of a sender to the shard's number of its account."""

    def __init__(self) -> None:
        self._senders = Senders()
        self._accounts = np.empty(0, dtype=np.int32)

    def unmapped(self, senders: Senders, numbers: Int32s) -> list[int]:
        """Which of the decoder's numbers are new here."""
        if senders is not self._senders:
            self._senders, self._accounts = senders, np.empty(0, dtype=np.int32)
        more = len(senders.owners) - len(self._accounts)
        if more:
            room = np.full(more, UNMAPPED, dtype=np.int32)
            self._accounts = np.concatenate([self._accounts, room])
        new: list[int] = np.unique(numbers[self._accounts[numbers] == UNMAPPED]).tolist()
        return new

    def mapped(self, numbers: Int32s, new: list[int], names: Names) -> Int32s:
        """The shard's numbers; the owners of `new` have theirs by now."""
        owners = self._senders.owners
        self._accounts[new] = [names.account_numbers[owners[number]] for number in new]
        return self._accounts[numbers]


@dataclass(slots=True)
class Allocate:
    """The step: remembers the agents' accounts and the open window."""

    accounts: ShardAccounts
    _open: OpenWindow | None = None
    _numbers: AccountNumbers = field(default_factory=AccountNumbers)

    def __call__(self, priced: PricedSlice) -> Iterator[ClosedWindow]:
        """Judge the slice's bids and commands; yield the window when the slice closes it."""
        window = self._open = self._open or self._begin(priced.slice.first_seq)
        self._number(priced.slice)
        self._judge(window, priced)
        if priced.slice.closes:
            self._open = None
            yield self._close(window, priced)

    def _begin(self, first_seq: int) -> OpenWindow:
        names = self.accounts.names
        return OpenWindow(first_seq, accounts=len(names.accounts), resources=len(names.resources))

    def _number(self, decoded: EventSlice) -> None:
        """Give the slice's bids the shard's numbers, and new names theirs, in the log's order."""
        names, bids = self.accounts.names, decoded.bids
        new = self._numbers.unmapped(decoded.senders, bids.account)
        mentions = [*_event_mentions(decoded.events, names), *_bid_mentions(decoded, new)]
        for _place, market, owner in sorted(mentions):
            names.account(market, owner)
        bids.account = self._numbers.mapped(bids.account, new, names)
        _number_resources(decoded, names)
        bids.names = names
        self.accounts.make_room()

    def _judge(self, window: OpenWindow, priced: PricedSlice) -> None:
        bids, events = priced.slice.bids, priced.slice.events
        touched = _touched(events, self.accounts.names)
        rows = np.arange(len(bids))
        apart = np.isin(bids.account, touched) if touched else np.zeros(len(bids), dtype=np.bool_)
        left = admit_many(bids, rows[~apart], priced.terms, self.accounts)
        self._judge_in_order(window, np.sort(np.concatenate([rows[apart], left])), priced)
        if len(bids):
            window.runs.append(bids)
            markets = np.unique(self.accounts.market[bids.account]).tolist()
            window.active.update(self.accounts.names.markets[number] for number in markets)

    def _judge_in_order(self, window: OpenWindow, rows: Rows, priced: PricedSlice) -> None:
        """Judge the events, and the bids of the agents that they touch, one by one."""
        bids = priced.slice.bids
        places = zip(bids.seq[rows].tolist(), bids.ord[rows].tolist(), rows.tolist(), strict=True)
        commands = ((event.seq, event.ord, event) for event in priced.slice.events)
        metered = ((each.seq, each.ord, each) for each in priced.slice.meter_messages)
        for _seq, _ord, item in merge(places, commands, metered, key=lambda each: each[:2]):
            if isinstance(item, Event):
                self._apply(item, window, priced.terms)
            elif isinstance(item, MeterMessage):
                self._meter(item, window, priced.slice.window_id)
            else:
                self._place(bids, item, window, priced.terms)

    def _place(self, bids: Bids, row: int, window: OpenWindow, terms: Mapping[str, Terms]) -> None:
        bid, account = bids[row], int(bids.account[row])
        in_force = terms.get(bid.market)
        self._note_active(account)
        reason = check_sender(in_force, self.accounts, account, bid)
        if reason is None:
            assert in_force is not None
            reason = admit_bid(in_force, self.accounts, account, bid)
        bids.reason[row] = REASON_CODES[reason]
        if reason is None:
            bids.status[row] = LOST
            window.note(agent_key(account, event_id_bytes(bid.event_id)), bids, row)

    def _apply(self, event: Event, window: OpenWindow, terms: Mapping[str, Terms]) -> None:
        match event.command:
            case BidWithdrawn() | CreditsTransferred() as command:
                reason = self._act(event, command, window, terms.get(event.market))
                window.add(_row(event, command, reason))
            case ReviewedCommand(command, reason):
                if isinstance(command, CreditsGranted) and reason is None:
                    self._grant(event.market, command)
                elif isinstance(command, MarketOpened) and reason is None:
                    list_market(self.accounts, event.market, command, window.metered)
                window.add(_row(event, command, reason))
            case Malformed() as letter:
                window.dead_letters.append(_dead_letter(event, letter))
            case command:
                raise AssertionError(f"join_prices left {command!r} unchecked")

    def _meter(self, message: MeterMessage, window: OpenWindow, window_id: int) -> None:
        """Judge an event of a meter: one that is refused is a command, its market rests."""
        row = judge_message(self.accounts, message, window.metered, window_id=window_id)
        if row is not None:
            window.commands.append(row)

    def _act(
        self,
        event: Event,
        command: BidWithdrawn | CreditsTransferred,
        window: OpenWindow,
        terms: Terms | None,
    ) -> RejectionReason | None:
        account = self.accounts.names.account(event.market, event.sender)
        self._note_active(account)
        sent = Sent(event.seq, event.ord, event.time_ns, command.event_id)
        reason = check_sender(terms, self.accounts, account, sent)
        if reason is not None:
            return reason
        if isinstance(command, BidWithdrawn):
            return self._withdraw(account, command, window)
        recipient = self.accounts.names.account(event.market, command.to_agent_id)
        return transfer(self.accounts, account, recipient, command.amount_micros)

    def _withdraw(
        self, account: int, command: BidWithdrawn, window: OpenWindow
    ) -> RejectionReason | None:
        """Release what an open bid of the sender's own holds."""
        place = window.place_of(agent_key(account, event_id_bytes(command.bid_event_id)))
        if place is None or place[0].status[place[1]] != LOST:
            return RejectionReason.NOT_OPEN
        run, row = place
        run.status[row] = WITHDRAWN
        self.accounts.hold(account, -int(run.quantity[row]) * int(run.unit_price_micros[row]))
        return None

    def _grant(self, market: str, command: CreditsGranted) -> None:
        names = self.accounts.names
        self.accounts.move(
            debit=names.account(market, TREASURY),
            credit=names.account(market, command.agent_id),
            amount_micros=command.amount_micros,
        )

    def _note_active(self, account: int) -> None:
        self.accounts.active[account] |= self.accounts.known[account]

    def _close(self, window: OpenWindow, priced: PricedSlice) -> ClosedWindow:
        closing = priced.slice
        if window.is_empty:
            return EmptyWindow(
                shard=closing.shard,
                window_id=closing.window_id,
                first_seq=window.first_seq,
                next_seq=closing.next_seq,
                stream_time_ns=closing.stream_time_ns,
            )
        return settle_window(window, priced, self.accounts)


def _event_mentions(events: Iterable[Event], names: Names) -> Iterator[Mention]:
    """The accounts that events name and that have no number yet, each with its place."""
    for event in events:
        if not isinstance(event.command, Malformed):
            for at, owner in enumerate(_owners(event)):
                if (event.market, owner) not in names.account_numbers:
                    yield (event.seq, event.ord, at), event.market, owner


def _bid_mentions(decoded: EventSlice, new: list[int]) -> Iterator[Mention]:
    """The first bid of each sender that has no number yet."""
    if not new:
        return
    bids, owners = decoded.bids, decoded.senders.owners
    numbers, first = np.unique(bids.account, return_index=True)
    rows = first[np.searchsorted(numbers, new)]
    seqs, ords = bids.seq[rows].tolist(), bids.ord[rows].tolist()
    for number, seq, ord_ in zip(new, seqs, ords, strict=True):
        yield (seq, ord_, 0), *owners[number]


def _number_resources(decoded: EventSlice, names: Names) -> None:
    """Give new resources their numbers, in the order of the bids, and write all on the bids."""
    bids = decoded.bids
    if any(name not in names.resource_numbers for name in decoded.resources):
        used, first = np.unique(bids.resource, return_index=True)
        for number in used[np.argsort(first)].tolist():
            if number != BUNDLE:
                names.resource(decoded.resources[number])
    numbers = [names.resource_numbers.get(name, BUNDLE) for name in decoded.resources]
    # The last entry is the one that -1, the number of a bundle, stands for.
    bids.resource = np.array([*numbers, BUNDLE], dtype=np.int32)[bids.resource]


def _owners(event: Event) -> Iterator[str]:
    """The accounts that a command names: its sender, and who receives credits by it."""
    yield event.sender
    command = event.command
    if isinstance(command, ReviewedCommand):
        command = command.command
    if isinstance(command, CreditsGranted):
        yield command.agent_id
    elif isinstance(command, CreditsTransferred):
        yield command.to_agent_id


def _touched(events: Iterable[Event], names: Names) -> list[int]:
    """The accounts whose bids may depend on their place among the events."""
    return [
        names.account_numbers[event.market, owner]
        for event in events
        if not isinstance(event.command, Malformed)
        for owner in _owners(event)
    ]


def _row(
    event: Event,
    command: BidWithdrawn | CreditsTransferred | OperatorCommand,
    reason: RejectionReason | None,
) -> CommandRow:
    amount_micros = recipient = purpose = None
    if isinstance(command, CreditsTransferred):
        amount_micros, recipient, purpose = (
            command.amount_micros,
            command.to_agent_id,
            command.purpose,
        )
    elif isinstance(command, CreditsGranted):
        amount_micros, recipient, purpose = (
            command.amount_micros,
            command.agent_id,
            command.purpose,
        )
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
