"""Admit many bids at once: the rules of `operators/admit.py` over columns.

Promise: the same outcomes as judging the bids one by one. What one agent's bids come to depends on
no other agent's, so where the order of an agent's own bids matters (it is over its quota, repeats
an id, or cannot afford all of them), its bids alone are left to be judged one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from operators.admit import VICKREY, terms_refusal
from state.accounts import Flags, ShardAccounts
from state.bids import BUNDLE, LOST, REASON_CODES, UUID_BYTES, Bids, Bytes, Int32s, Int64s
from state.dedupe import BUCKET_MS, TIME_BYTES, newest_ms, oldest_ms
from state.market import Terms
from walras_schemas import INT64_MAX, RejectionReason

HALF_BITS: Final = 20
"""Sums of holds are bounded by sums of their upper parts first, which cannot wrap."""
KEY_BYTES: Final = 4 + UUID_BYTES

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class _Targets:
    """What each market and resource that is bid for puts in force, and which one each row names."""

    of_row: Rows
    unknown: Flags
    closed: Flags
    opened_seq: Int64s
    opened_ord: Int64s
    max_commands: Int64s
    listed: Flags
    whole_only: Flags
    """Whether the rule takes no `min_quantity`."""
    supply: Int64s
    reserve_micros: Int64s


@dataclass(frozen=True, slots=True)
class _Ids:
    """The keys of some rows, and by bucket of the index which of them have their times there."""

    keys: NDArray[np.object_]
    buckets: Mapping[int, Rows]


def admit_many(bids: Bids, rows: Rows, terms: Mapping[str, Terms], accounts: ShardAccounts) -> Rows:
    """Judge these rows, in their order; the ones that are left to be judged one by one.

    What is judged has its reason, or the status of an open bid and its hold.
    """
    if not len(rows):
        return rows
    run = bids if len(rows) == len(bids) else bids.taken(rows)
    reason = np.zeros(len(run), dtype=np.uint8)
    targets = _targets(run, terms, accounts)
    agents, agent_of = np.unique(run.account, return_inverse=True)
    accounts.active[agents[accounts.known[agents]]] = True

    _refuse(reason, _before_opening(run, targets), RejectionReason.UNKNOWN_MARKET)
    _refuse(reason, targets.closed[targets.of_row], RejectionReason.MARKET_CLOSED)
    counted = np.bincount(agent_of[reason == 0], minlength=len(agents))
    allowed = np.full(len(agents), INT64_MAX, dtype=np.int64)
    allowed[agent_of] = targets.max_commands[targets.of_row]
    slow = accounts.sent[agents] + counted > allowed
    slow |= np.isin(agents, list(accounts.wide)) if accounts.wide else False

    _refuse_by_time(reason, run)
    timely = np.flatnonzero(reason == 0)
    ids = _ids_of(run, timely)
    accounts.dedupe.forget(int(run.time_ns[0]))
    slow |= _repeating(ids, agent_of[timely], len(agents), accounts)
    _refuse(reason, ~accounts.known[run.account], RejectionReason.UNKNOWN_AGENT)
    hold = _refuse_by_terms(reason, run, terms, targets)
    slow |= _too_poor(reason, hold, agents, agent_of, accounts)

    _remember(ids, ~slow[agent_of[timely]], accounts)
    left = slow[agent_of]
    accounts.sent[agents[~slow]] += counted[~slow].astype(np.int32)
    judged = rows[~left]
    bids.reason[judged] = reason[~left]
    admitted = (reason == 0) & ~left
    bids.status[rows[admitted]] = LOST
    np.add.at(accounts.held, run.account[admitted], hold[admitted])
    return rows[left]


def _refuse(reason: Bytes, where: Flags, why: RejectionReason) -> None:
    """Write a reason where there is none yet: the rules are applied in their order."""
    reason[where & (reason == 0)] = REASON_CODES[why]


def _targets(run: Bids, terms: Mapping[str, Terms], accounts: ShardAccounts) -> _Targets:
    names = accounts.names
    width = len(names.resources) + 1
    key = accounts.market[run.account].astype(np.int64) * width + (run.resource + 1)
    pairs, of_row = np.unique(key, return_inverse=True)
    columns = [
        _target(terms.get(names.markets[pair // width]), names.resources, pair % width - 1)
        for pair in pairs.tolist()
    ]
    flags, numbers = zip(*columns, strict=True)
    unknown, closed, listed, whole_only = np.array(flags, dtype=np.bool_).T
    opened_seq, opened_ord, most, supply, reserve = np.array(numbers, dtype=np.int64).T
    return _Targets(
        of_row=of_row,
        unknown=unknown,
        closed=closed,
        opened_seq=opened_seq,
        opened_ord=opened_ord,
        max_commands=most,
        listed=listed,
        whole_only=whole_only,
        supply=supply,
        reserve_micros=reserve,
    )


def _target(
    terms: Terms | None, resources: list[str], number: int
) -> tuple[tuple[bool, bool, bool, bool], tuple[int, int, int, int, int]]:
    if terms is None:
        return (True, False, False, False), (0, 0, INT64_MAX, 0, 0)
    rules = terms.resources.get(resources[number]) if number != BUNDLE else None
    flags = (False, not terms.is_open, rules is not None, terms.rule == VICKREY)
    offered = (rules.supply, rules.reserve_micros) if rules else (0, 0)
    return flags, (*terms.opened_at, terms.max_commands, *offered)


def _before_opening(run: Bids, targets: _Targets) -> Flags:
    opened_seq = targets.opened_seq[targets.of_row]
    earlier: Flags = run.seq < opened_seq
    same: Flags = (run.seq == opened_seq) & (run.ord < targets.opened_ord[targets.of_row])
    unknown: Flags = targets.unknown[targets.of_row]
    return unknown | earlier | same


def _refuse_by_time(reason: Bytes, run: Bids) -> None:
    """Rule 5, in whole milliseconds of the id against the limits that a message's time gives."""
    carried = carried_times(run.event_id)
    _refuse(reason, carried < oldest_ms(run.time_ns), RejectionReason.STALE_EVENT_ID)
    _refuse(reason, carried > newest_ms(run.time_ns), RejectionReason.FUTURE_EVENT_ID)


def carried_times(event_ids: Bytes) -> Int64s:
    """The milliseconds since the epoch that event ids of 16 bytes carry."""
    padded = np.zeros((len(event_ids), 8), dtype=np.uint8)
    padded[:, 8 - TIME_BYTES :] = event_ids[:, :TIME_BYTES]
    return padded.view(">i8").ravel().astype(np.int64)


def keys_of(run: Bids, rows: Rows) -> list[bytes]:
    """What tells the commands of these rows apart: see `state.dedupe.agent_key`."""
    keys = np.empty((len(rows), KEY_BYTES), dtype=np.uint8)
    keys[:, :4] = run.account[rows].astype("<i4").view(np.uint8).reshape(-1, 4)
    keys[:, 4:] = run.event_id[rows]
    packed: list[bytes] = keys.view(f"V{KEY_BYTES}").ravel().tolist()
    return packed


def _ids_of(run: Bids, rows: Rows) -> _Ids:
    keys = np.empty(len(rows), dtype=object)
    keys[:] = keys_of(run, rows)
    buckets = carried_times(run.event_id[rows]) // BUCKET_MS
    return _Ids(keys, {at: np.flatnonzero(buckets == at) for at in np.unique(buckets).tolist()})


def _repeating(ids: _Ids, agent_of: Rows, agents: int, accounts: ShardAccounts) -> Flags:
    """The agents that repeat an id."""
    repeating = np.zeros(agents, dtype=np.bool_)
    for bucket, at in ids.buckets.items():
        repeated = accounts.dedupe.repeated(ids.keys[at].tolist(), at_ms=bucket * BUCKET_MS)
        bad = [each for each in at.tolist() if ids.keys[each] in repeated] if repeated else []
        repeating[agent_of[bad]] = True
    return repeating


def _remember(ids: _Ids, which: Flags, accounts: ShardAccounts) -> None:
    """From now on these ids are used."""
    for bucket, at in ids.buckets.items():
        keys = ids.keys[at[which[at]]].tolist()
        accounts.dedupe.remember_all(keys, at_ms=bucket * BUCKET_MS)


def _refuse_by_terms(
    reason: Bytes, run: Bids, terms: Mapping[str, Terms], targets: _Targets
) -> Int64s:
    """Rules 10 to 14; what each row that passes them is to hold."""
    bundle = run.resource == BUNDLE
    unit = ~bundle
    supply, reserve = targets.supply[targets.of_row], targets.reserve_micros[targets.of_row]
    _refuse(reason, unit & ~targets.listed[targets.of_row], RejectionReason.UNKNOWN_RESOURCE)
    whole_only = targets.whole_only[targets.of_row] & (run.min_quantity != 1)
    _refuse(reason, unit & whole_only, RejectionReason.UNSUPPORTED_BY_RULE)
    _refuse(reason, unit & (run.quantity > supply), RejectionReason.EXCEEDS_SUPPLY)
    _refuse(reason, unit & (run.unit_price_micros < reserve), RejectionReason.BELOW_RESERVE)
    overflows = run.unit_price_micros > INT64_MAX // run.quantity
    _refuse(reason, overflows, RejectionReason.AMOUNT_OVERFLOW)
    if bundle.any():
        _refuse_bundles(reason, run, np.flatnonzero(bundle & (reason == 0)), terms)
    return np.where(overflows, 0, run.quantity) * run.unit_price_micros


def _refuse_bundles(reason: Bytes, run: Bids, rows: Rows, terms: Mapping[str, Terms]) -> None:
    limits = run.unit_price_micros[rows].tolist()
    owners = [run.names.accounts[number] for number in run.account[rows].tolist()]
    reason[rows] = [
        REASON_CODES[terms_refusal(terms[market], run.bundles[row], limit, divisible=False)]
        for row, (market, _), limit in zip(rows.tolist(), owners, limits, strict=True)
    ]


def _too_poor(
    reason: Bytes, hold: Int64s, agents: Int32s, agent_of: Rows, accounts: ShardAccounts
) -> Flags:
    """Rule 15 for agents with one bid left; those with several that they cannot all afford.

    The latter are judged one by one, so what is written for them here is not kept.
    """
    rows = np.flatnonzero(reason == 0)
    bids_of = np.bincount(agent_of[rows], minlength=len(agents))
    upper, total = np.zeros(len(agents), np.int64), np.zeros(len(agents), np.int64)
    np.add.at(upper, agent_of[rows], hold[rows] >> HALF_BITS)
    np.add.at(total, agent_of[rows], hold[rows])
    free = accounts.balance[agents] - accounts.held[agents]
    poor = (upper > free >> HALF_BITS) | (total > free)
    _refuse(reason, poor[agent_of], RejectionReason.INSUFFICIENT_BALANCE)
    slow: Flags = poor & (bids_of > 1)
    return slow
