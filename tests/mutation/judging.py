"""Mistakes up to the end of a window: who may do what, what is a command, what is in force."""

from tests.mutation.mutant import (
    ADMIT,
    BOOK,
    CUT,
    DECODE,
    JOIN,
    MARKET,
    NAMES,
    SEEN,
    SETTLE,
    Mutant,
)

JUDGING = [
    # Who may do what.
    Mutant("hold is not taken", ADMIT, "held_micros += hold", "held_micros += 0"),
    Mutant(
        "hold is not released by a withdrawal",
        ADMIT,
        "held_micros -= bid.limit_micros",
        "held_micros -= 0",
    ),
    Mutant(
        "a withdrawn bid stays in the auction",
        ADMIT,
        "bid = accounts.open_bids.pop(key, None)",
        "bid = accounts.open_bids.get(key)",
    ),
    Mutant(
        "a balance must exceed the hold",
        ADMIT,
        "if account.free_micros < hold:",
        "if account.free_micros <= hold:",
    ),
    Mutant(
        "holds are not counted against a bid",
        ADMIT,
        "if account.free_micros < hold:",
        "if account.balance_micros < hold:",
    ),
    Mutant(
        "holds are not counted against a transfer",
        ADMIT,
        "if sender.free_micros < command.amount_micros:",
        "if sender.balance_micros < command.amount_micros:",
    ),
    Mutant("a bid at the reserve is refused", ADMIT, "if hold < reserve:", "if hold <= reserve:"),
    Mutant("reserve is skipped at admission", ADMIT, "if hold < reserve:", "if hold < 0:"),
    Mutant(
        "a bid for the whole supply is refused",
        ADMIT,
        "exceeds |= units > resource.supply",
        "exceeds |= units >= resource.supply",
    ),
    Mutant(
        "only the last resource of a bundle is checked",
        ADMIT,
        "exceeds |= units > resource.supply",
        "exceeds = units > resource.supply",
    ),
    Mutant("overflow one too late", ADMIT, "if hold > INT64_MAX:", "if hold > INT64_MAX + 1:"),
    Mutant(
        "overflow before reserve",
        ADMIT,
        """    if hold < reserve:
        return RejectionReason.BELOW_RESERVE
    if hold > INT64_MAX:
        return RejectionReason.AMOUNT_OVERFLOW
""",
        """    if hold > INT64_MAX:
        return RejectionReason.AMOUNT_OVERFLOW
    if hold < reserve:
        return RejectionReason.BELOW_RESERVE
""",
    ),
    Mutant(
        "supply before form",
        ADMIT,
        """    if terms.rule == VICKREY and (bid.bundle is not None or bid.min_quantity != 1):
        return RejectionReason.UNSUPPORTED_BY_RULE
    if exceeds:
        return RejectionReason.EXCEEDS_SUPPLY
""",
        """    if exceeds:
        return RejectionReason.EXCEEDS_SUPPLY
    if terms.rule == VICKREY and (bid.bundle is not None or bid.min_quantity != 1):
        return RejectionReason.UNSUPPORTED_BY_RULE
""",
    ),
    Mutant(
        "a transfer to oneself needs credits first",
        ADMIT,
        """    if command.to_agent_id == event.sender:
        return RejectionReason.SELF_TRANSFER
    if sender.free_micros < command.amount_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
""",
        """    if sender.free_micros < command.amount_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
    if command.to_agent_id == event.sender:
        return RejectionReason.SELF_TRANSFER
""",
    ),
    Mutant(
        "vickrey takes a min_quantity",
        ADMIT,
        "(bid.bundle is not None or bid.min_quantity != 1)",
        "bid.bundle is not None",
    ),
    Mutant(
        "a bid before the opening is heard",
        ADMIT,
        "if terms is None or (sent.seq, sent.ord) < terms.opened_at:",
        "if terms is None:",
    ),
    Mutant(
        "ids differ by their case",
        ADMIT,
        "key = bid_key(event.market, event.sender, command.bid_event_id.lower())",
        "key = bid_key(event.market, event.sender, command.bid_event_id)",
    ),
    Mutant(
        "a reopening forgets the quotes",
        ADMIT,
        "quotes=listing.quotes if listing else {},",
        "quotes={},",
    ),
    Mutant(
        "a reopening is a first opening",
        ADMIT,
        "opened_at=listing.opened_at if listing else (event.seq, event.ord),",
        "opened_at=(event.seq, event.ord),",
    ),
    # What a command may look like, and when.
    Mutant(
        "an id goes stale one millisecond early",
        SEEN,
        "if id_ms < self._oldest_ms:",
        "if id_ms <= self._oldest_ms:",
    ),
    Mutant(
        "an id may be from the future",
        SEEN,
        "if id_ms > self._newest_ms:",
        "if id_ms > self._newest_ms + 1:",
    ),
    Mutant(
        "dedupe horizon halved",
        NAMES,
        "DEDUPE_HORIZON_MS: Final = 60_000",
        "DEDUPE_HORIZON_MS: Final = 30_000",
    ),
    Mutant(
        "ids are forgotten a bucket early",
        SEEN,
        "if bucket < oldest_bucket]:",
        "if bucket <= oldest_bucket]:",
    ),
    Mutant(
        "an id is never remembered",
        SEEN,
        "        bucket.add(key)\n",
        "        bucket.add(str(known))\n",
    ),
    Mutant(
        "ids are shared by all senders",
        BOOK,
        'return f"{market}/{agent}/{event_id}"',
        'return f"{market}/{event_id}"',
    ),
    Mutant(
        "a repeated key passes the fast decoder",
        DECODE,
        """return bids if payload.count(b'"') == quotation_marks else None""",
        "return bids",
    ),
    Mutant(
        "a bid without a type passes the fast decoder",
        DECODE,
        "_one_bid = msgspec.json.Decoder(BidPlaced | _OtherCommand)",
        "_one_bid = msgspec.json.Decoder(BidPlaced)",
    ),
    Mutant(
        "a batch may hold one event too many",
        DECODE,
        "    if not 0 < len(elements) <= BATCH_MAX:",
        "    if not 0 < len(elements) <= BATCH_MAX + 1:",
    ),
    Mutant(
        "an event on a foreign subject is heard",
        DECODE,
        "if command.type not in subjects.TYPES_ON[subject.kind]:",
        "if not command.type:",
    ),
    Mutant(
        "a dead letter holds the whole batch",
        DECODE,
        "yield Malformed(text, command, raws[ord_])",
        "yield Malformed(text, command, payload)",
    ),
    Mutant(
        "nesting is left to the reader's stack",
        DECODE,
        "return any(depth > NESTING_MAX for depth in depths)",
        "return any(depth > 10 * NESTING_MAX for depth in depths)",
    ),
    # When a window ends, and what is in force in it.
    Mutant(
        "a window takes the first message of the next",
        CUT,
        "end = bisect_left(times, (window_id + 1) * self._window_ns, lo=start)",
        "end = bisect_left(times, (window_id + 1) * self._window_ns + 1, lo=start)",
    ),
    Mutant(
        "the stream's time goes back",
        CUT,
        "accumulate(batch.timestamps_ns, max, initial=self.stream_time_ns)",
        "accumulate(batch.timestamps_ns, lambda _, time: time, initial=self.stream_time_ns)",
    ),
    Mutant(
        "a window at a batch's edge is never closed",
        CUT,
        "yield self._slice(batch, times, start, start, closes=True)",
        "pass",
    ),
    Mutant(
        "cursor off by one",
        CUT,
        "first_seq=batch.first_seq + start,",
        "first_seq=batch.first_seq + start + 1,",
    ),
    Mutant(
        "changes count at once",
        JOIN,
        "if after is not None and event.market not in self._terms:",
        "if after is not None:",
    ),
    Mutant(
        "a first opening waits for the next window",
        JOIN,
        "if after is not None and event.market not in self._terms:",
        "if False:",
    ),
    Mutant(
        "a restart forgets what is listed",
        JOIN,
        "self._changed = set(self.listings.by_market)",
        "self._changed = set()",
    ),
    Mutant(
        "prices turn stale a window late",
        MARKET,
        "stale_after + 1 if quote",
        "stale_after + 2 if quote",
    ),
    Mutant(
        "> instead of >= in stale",
        SETTLE,
        "stale=window_id >= resource.stale_from,",
        "stale=window_id > resource.stale_from,",
    ),
    Mutant(
        "the ratio reserve replaces the fixed one",
        MARKET,
        "reserve_micros=max(listed.reserve_micros, reference * listed.reserve_ratio_ppm // PPM),",
        "reserve_micros=reference * listed.reserve_ratio_ppm // PPM or listed.reserve_micros,",
    ),
    Mutant(
        "the ratio reserve is rounded up",
        MARKET,
        "reference * listed.reserve_ratio_ppm // PPM",
        "-(-reference * listed.reserve_ratio_ppm // PPM)",
    ),
]
