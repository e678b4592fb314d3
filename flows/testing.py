"""A kit for tests of a market: write a log, settle it through the real flow, look at the outcome.

It needs no server and never waits: time passes in the log alone. Prices and amounts are integers in
micro-credits, quantities in the resource's own unit, times in milliseconds unless a name says else.

**Promise:** the same calls write the same log, and the same log has the same outcomes, on every
machine and whatever the batch size.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from typing import Any, Final

from bytewax.testing import TestingSink, TestingSource

from flows.allocation import build
from flows.runtime.engine import run_flow
from state.bids import Bid
from state.dedupe import NS_PER_MS
from state.log import Message, RawBatch
from state.shard import ShardState, Token
from state.window import ClosedWindow, CommandRow, LotRow, Settlement
from walras_schemas import COMMANDS, METER_EVENTS, Rule, subjects

START_MS: Final = 1_760_000_000_000
"""When a written log begins, since the epoch: the first moment of a window of one second."""

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One message: its sequence in the log (from 1), the server's time, its subject and bytes."""

    seq: int
    timestamp_ns: int
    subject: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """A command in its log: its message, its index in the message's batch, and its event id."""

    seq: int
    ord: int = 0
    event_id: str = ""


@dataclass(slots=True)
class LogWriter:
    """Writes the log of one shard, message by message, each at the time `now_ms`.

    The methods named after a command check it first and raise `ValueError` (of pydantic, or of the
    subject's builder) where a market would call it malformed. `append` takes anything.
    """

    records: list[LogRecord] = field(default_factory=list)
    """The log so far: what `settle_log` takes."""
    now_ms: int = START_MS
    ids: list[str] = field(default_factory=list)
    """Every event id made so far, the oldest first."""
    max_commands: int | None = None
    """What markets that are opened from now on allow each agent to send in a window."""

    def wait(self, milliseconds: int) -> None:
        """Let time pass before the next message; less than 0 sets the server's clock back."""
        self.now_ms += milliseconds

    def tick(self) -> int:
        """Append a tick, which only tells the time; its sequence."""
        return self.append(subjects.clock(0), b"")

    def open(
        self, *, market: str = "m1", rule: Rule = "uniform", **resources: Mapping[str, int]
    ) -> Sent:
        """Open a market of resources with the fields of `ResourceRules`; the first price is 10."""
        listed = {name: {"initial_price_micros": 10, **given} for name, given in resources.items()}
        opened = self.command("market_opened", rule=rule, resources=listed)
        if self.max_commands is not None:
            opened["max_commands"] = self.max_commands
        return self._send(subjects.market(market), opened)

    def close(self, *, market: str = "m1") -> Sent:
        """Close a market for later windows, until it is opened again."""
        return self._send(subjects.market(market), self.command("market_closed"))

    def supply(self, resource: str, units: int, *, market: str = "m1") -> Sent:
        """Offer so many units in each later window."""
        changed = self.command("supply_changed", resource=resource, supply=units)
        return self._send(subjects.market(market), changed)

    def quote(self, resource: str, price_micros: int, *, market: str = "m1") -> Sent:
        """Quote the reference price of a unit for later windows."""
        quoted = self.command("price_quoted", price_micros=price_micros)
        return self._send(subjects.price(market, resource), quoted)

    def grant(
        self, agent: str, amount_micros: int, *, market: str = "m1", purpose: str = ""
    ) -> Sent:
        """Give an agent credits from the treasury."""
        fields = {"agent_id": agent, "amount_micros": amount_micros, **_purpose(purpose)}
        return self._send(subjects.grant(market), self.command("credits_granted", **fields))

    def bid(  # noqa: PLR0913  # a bid is its fields, by name
        self,
        agent: str,
        *,
        resource: str,
        quantity: int,
        unit_price_micros: int,
        min_quantity: int = 1,
        market: str = "m1",
        event_id: str | None = None,
    ) -> Sent:
        """Bid for units of one resource, at most at this price for each."""
        placed = self.command(
            "bid_placed",
            event_id=event_id,
            resource=resource,
            quantity=quantity,
            unit_price_micros=unit_price_micros,
            min_quantity=min_quantity,
        )
        return self._send(subjects.bid(market, agent), placed)

    def bundle(
        self,
        agent: str,
        units: Mapping[str, int],
        *,
        limit_micros: int,
        market: str = "m1",
        event_id: str | None = None,
    ) -> Sent:
        """Bid for units of several resources, all or nothing, at most at this price for all."""
        fields = {"bundle": dict(units), "limit_micros": limit_micros}
        placed = self.command("bid_placed", event_id=event_id, **fields)
        return self._send(subjects.bid(market, agent), placed)

    def withdraw(
        self, agent: str, bid: Sent, *, market: str = "m1", event_id: str | None = None
    ) -> Sent:
        """Take a bid back."""
        withdrawn = self.command("bid_withdrawn", event_id=event_id, bid_event_id=bid.event_id)
        return self._send(subjects.bid(market, agent), withdrawn)

    def transfer(
        self, agent: str, *, to: str, amount_micros: int, market: str = "m1", purpose: str = ""
    ) -> Sent:
        """Give an agent's own credits to another agent."""
        fields = {"to_agent_id": to, "amount_micros": amount_micros, **_purpose(purpose)}
        given = self.command("credits_transferred", **fields)
        return self._send(subjects.transfer(market, agent), given)

    def open_meter(self, meter: int = 0, *, epoch: int = 1, market: str = "m1") -> Sent:
        """Begin an epoch of a meter, as a proxy does when it starts."""
        return self._meter(market, meter, {"type": "meter_opened", "epoch": epoch})

    def hold(  # noqa: PLR0913  # a hold is its fields, by name
        self,
        n: int,
        agent: str,
        quantity: int,
        *,
        resource: str,
        window_id: int | None = None,
        epoch: int = 1,
        meter: int = 0,
        market: str = "m1",
    ) -> Sent:
        """Set units aside that an agent won; the window is that of one second at `now_ms`."""
        fields = {"agent_id": agent, "resource": resource, "quantity": quantity}
        named = self.now_ms // 1000 if window_id is None else window_id
        held = {"type": "units_held", "epoch": epoch, "n": n, "window_id": named, **fields}
        return self._meter(market, meter, held)

    def settle(  # noqa: PLR0913  # a settlement is its fields, by name
        self,
        n: int,
        used: int,
        *,
        outcome: str = "completed",
        epoch: int = 1,
        meter: int = 0,
        market: str = "m1",
    ) -> Sent:
        """End a hold with what was used of it."""
        settled = {"type": "units_settled", "epoch": epoch, "n": n, "used": used}
        return self._meter(market, meter, settled | {"outcome": outcome})

    def append(self, subject: str, payload: bytes | Event | Sequence[Event]) -> int:
        """Append bytes, an event or a batch of events as they are, unchecked; its sequence."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        seq = len(self.records) + 1
        self.records.append(LogRecord(seq, self.now_ms * NS_PER_MS, subject, raw))
        return seq

    def command(self, type_: str, *, event_id: str | None = None, **fields: Any) -> Event:
        """A command for `append`, under a fresh id unless one is given; unchecked."""
        return {"type": type_, "event_id": event_id or self.fresh_id(), **fields}

    def fresh_id(self, *, age_ms: int = 0) -> str:
        """An event id (UUIDv7) not used before, made `age_ms` ago; less than 0 lies ahead."""
        made, number = f"{self.now_ms - age_ms:012x}", f"{len(self.ids):015x}"
        self.ids.append(f"{made[:8]}-{made[8:]}-7000-8{number[:3]}-{number[3:]}")
        return self.ids[-1]

    def _meter(self, market: str, meter: int, event: Event) -> Sent:
        raw = json.dumps(event).encode()
        METER_EVENTS[event["type"]].model_validate_json(raw)
        return Sent(self.append(subjects.meter(market, meter), raw))

    def _send(self, subject: str, event: Event) -> Sent:
        raw = json.dumps(event).encode()
        COMMANDS[event["type"]].model_validate_json(raw)
        return Sent(self.append(subject, raw), event_id=event["event_id"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one command; two compare by `==`."""

    status: str
    """Of a bid a `BidStatus`; of another command `applied` or `rejected`; or `malformed`."""
    _: KW_ONLY
    reason: str | None = None
    """The `RejectionReason` of what was rejected."""
    won: Mapping[str, int] = field(default_factory=dict)
    """Resource to the units won."""
    paid_micros: int = 0


@dataclass(slots=True)
class Allowance:
    """What an agent ever won of a metered resource, and what became of it; two compare by `==`."""

    won: int = 0
    free: int = 0
    held: int = 0
    used: int = 0
    """What was used beyond holds too."""
    overdrawn: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class SettledLog:
    """What a log gave, window by window."""

    windows: Sequence[ClosedWindow]
    """Every closed window in full, the oldest first."""

    @property
    def settlements(self) -> list[Settlement]:
        """The windows that leave rows: those in which more than ticks came."""
        return [window for window in self.windows if isinstance(window, Settlement)]

    @property
    def outcomes(self) -> dict[tuple[int, int], Outcome]:
        """The outcome of every command, by its sequence and its index in the batch.

        An event of a meter has one only if it was refused.
        """
        found: dict[tuple[int, int], Outcome] = {}
        for window in self.settlements:
            found |= {(bid.seq, bid.ord): _of_bid(bid) for bid in window.bids}
            found |= {(row.seq, row.ord): _of_command(row) for row in window.commands}
            found |= {(one.seq, one.ord): Outcome("malformed") for one in window.dead_letters}
        return found

    def outcome(self, command: Sent) -> Outcome:
        """What became of a command; `KeyError` if it is in no window of this log."""
        return self.outcomes[command.seq, command.ord]

    def prices(self, *, market: str = "m1") -> list[dict[str, int | None]]:
        """Resource to its clearing price in each window with rows; None where nothing was sold.

        A market that was at rest in a window has no prices in it.
        """
        return [
            {row.resource: row.clearing_micros for row in window.prices if row.market == market}
            for window in self.settlements
        ]

    def allowances(self, *, market: str = "m1") -> dict[tuple[str, str], Allowance]:
        """Agent and resource to what became of the units won, after the last window with rows."""
        lots: dict[tuple[int, str, int], LotRow] = {}
        windows: dict[tuple[str, int], int] = {}
        for window in self.settlements:
            made = window.metering
            lots |= {row[:3]: row for row in (*made.lots, *made.changed_lots)}
            windows |= {(row.market, row.meter): row.window_id for row in made.meters}
        found: dict[tuple[str, str], Allowance] = {}
        for lot in lots.values():
            of, agent = self.settlements[-1].bids.names.accounts[lot.account]
            if of == market:
                is_past = lot.lapsed or lot.last_window < windows[market, lot.meter]
                _count(found.setdefault((agent, lot.resource), Allowance()), lot, is_past=is_past)
        return found

    def balances(self, *, market: str = "m1") -> dict[str, int]:
        """Account to its micro-credits after the last window, `house` and `treasury` among them."""
        latest: dict[int, int] = {}
        for window in self.settlements:
            latest |= window.balances.of()
        owners = self.settlements[-1].bids.names.accounts if latest else []
        by_owner = {owners[number]: micros for number, micros in latest.items()}
        return {owner: micros for (of, owner), micros in by_owner.items() if of == market}


def settle_log(
    records: Sequence[Message],
    *,
    window_ms: int = 1000,
    batch_size: int = 1000,
    shard: ShardState | None = None,
) -> SettledLog:
    """Settle a log with the real dataflow; a tick after its end closes its last window.

    The sequences of `records` follow each other without a gap. `batch_size` messages are read at a
    time, which must not matter. `shard` is the state to begin with; without one it is empty.
    """
    state = shard or fresh_shard()
    log = with_final_tick(records, window_ms=window_ms)
    closed: list[tuple[str, ClosedWindow]] = []
    flow = build(
        source=TestingSource(list(batches(log, shard=state.shard, batch_size=batch_size))),
        shards={state.shard: state},
        window_ms=window_ms,
        commit=lambda _shard: lambda window: [window],
        publish=lambda _shard: lambda window: [window],
        output=TestingSink(closed),
    )
    run_flow(flow)
    return SettledLog([window for _, window in closed])


def with_final_tick(records: Sequence[Message], *, window_ms: int) -> list[Message]:
    """The log and a tick at the end of its last window, so that every window closes."""
    if not records:
        return []
    window_ns = window_ms * NS_PER_MS
    latest_ns = max(record.timestamp_ns for record in records)
    end_ns = (latest_ns // window_ns + 1) * window_ns
    return [*records, LogRecord(records[-1].seq + 1, end_ns, subjects.clock(0), b"")]


def batches(
    records: Iterable[Message], *, shard: int = 0, batch_size: int = 1000
) -> Iterator[tuple[str, RawBatch]]:
    """The log as a source gives it to the flow: `(shard, batch)` pairs."""
    left = iter(records)
    while chunk := list(islice(left, batch_size)):
        batch = RawBatch(
            shard=shard,
            first_seq=chunk[0].seq,
            timestamps_ns=[record.timestamp_ns for record in chunk],
            subjects=[record.subject for record in chunk],
            payloads=[record.payload for record in chunk],
        )
        yield str(shard), batch


def fresh_shard(shard: int = 0) -> ShardState:
    """The state of a shard that has read nothing yet."""
    return ShardState(shard=shard, token=Token(1))


def _count(allowance: Allowance, lot: LotRow, *, is_past: bool) -> None:
    left = lot.units - lot.held - lot.used
    allowance.won += lot.units
    allowance.held += lot.held
    allowance.used += lot.used + lot.overdrawn
    allowance.overdrawn += lot.overdrawn
    if is_past:
        allowance.expired += left
    else:
        allowance.free += left


def _purpose(purpose: str) -> Event:
    return {"purpose": purpose} if purpose else {}


def _of_bid(bid: Bid) -> Outcome:
    reason, won = bid.reason and str(bid.reason), dict(bid.allocation)
    return Outcome(str(bid.status), reason=reason, won=won, paid_micros=bid.paid_micros)


def _of_command(row: CommandRow) -> Outcome:
    status = "applied" if row.reason is None else "rejected"
    return Outcome(status, reason=row.reason and str(row.reason))
