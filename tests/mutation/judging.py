"""Mistakes up to the end of a window: who may do what, what is a command, what is in force."""

from tests.mutation.mutant import (
    ADMIT,
    ALLOCATE,
    BOOK,
    CUT,
    JOIN,
    MARKET,
    NAMES,
    NUMBERS,
    SEEN,
    SETTLE,
    STRICT,
    Mutant,
)

JUDGING = [
    # Who may do what.
    Mutant(
        "hold is not taken",
        ADMIT,
        "    accounts.hold(account, bid.limit_micros)\n",
        "",
    ),
    Mutant(
        "hold is not released by a withdrawal",
        ALLOCATE,
        "self.accounts.hold(account, -int(run.quantity[row])",
        "self.accounts.hold(account, 0 * -int(run.quantity[row])",
    ),
    Mutant(
        "a withdrawn bid stays in the auction",
        ALLOCATE,
        "        run.status[row] = WITHDRAWN\n",
        "",
    ),
    Mutant(
        "a balance must exceed the hold",
        ADMIT,
        "if accounts.free_of(account) < bid.limit_micros:",
        "if accounts.free_of(account) <= bid.limit_micros:",
    ),
    Mutant(
        "holds are not counted against a bid",
        ADMIT,
        "if accounts.free_of(account) < bid.limit_micros:",
        "if accounts.balance_of(account) < bid.limit_micros:",
    ),
    Mutant(
        "holds are not counted against a transfer",
        ADMIT,
        "if accounts.free_of(sender) < amount_micros:",
        "if accounts.balance_of(sender) < amount_micros:",
    ),
    Mutant(
        "a bundle at the reserve is refused",
        ADMIT,
        "if limit_micros < reserve:",
        "if limit_micros <= reserve:",
    ),
    Mutant(
        "reserve is skipped at the admission of bundles",
        ADMIT,
        "if limit_micros < reserve:",
        "if limit_micros < 0:",
    ),
    Mutant(
        "a bundle of the whole supply is refused",
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
    Mutant(
        "overflow one too late",
        ADMIT,
        "if limit_micros > INT64_MAX:",
        "if limit_micros > INT64_MAX + 1:",
    ),
    Mutant(
        "overflow before reserve",
        ADMIT,
        """    if limit_micros < reserve:
        return RejectionReason.BELOW_RESERVE
    if limit_micros > INT64_MAX:
        return RejectionReason.AMOUNT_OVERFLOW
""",
        """    if limit_micros > INT64_MAX:
        return RejectionReason.AMOUNT_OVERFLOW
    if limit_micros < reserve:
        return RejectionReason.BELOW_RESERVE
""",
    ),
    Mutant(
        "supply before form",
        ADMIT,
        """    if terms.rule == VICKREY and not divisible:
        return RejectionReason.UNSUPPORTED_BY_RULE
    if exceeds:
        return RejectionReason.EXCEEDS_SUPPLY
""",
        """    if exceeds:
        return RejectionReason.EXCEEDS_SUPPLY
    if terms.rule == VICKREY and not divisible:
        return RejectionReason.UNSUPPORTED_BY_RULE
""",
    ),
    Mutant(
        "a transfer to oneself needs credits first",
        ADMIT,
        """    if sender == recipient:
        return RejectionReason.SELF_TRANSFER
    if accounts.free_of(sender) < amount_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
""",
        """    if accounts.free_of(sender) < amount_micros:
        return RejectionReason.INSUFFICIENT_BALANCE
    if sender == recipient:
        return RejectionReason.SELF_TRANSFER
""",
    ),
    Mutant(
        "vickrey takes a min_quantity, one by one",
        ADMIT,
        "divisible = bid.bundle is None and bid.min_quantity == 1",
        "divisible = bid.bundle is None",
    ),
    Mutant(
        "a bid before the opening is taken",
        ADMIT,
        "if terms is None or (sent.seq, sent.ord) < terms.opened_at:",
        "if terms is None:",
    ),
    Mutant(
        "a closed market takes commands of agents",
        ADMIT,
        """    if not terms.is_open:
        return RejectionReason.MARKET_CLOSED
    accounts""",
        """    accounts""",
    ),
    Mutant(
        "a closed market takes commands of operators",
        ADMIT,
        """        if not terms.is_open:
            return RejectionReason.MARKET_CLOSED
    key""",
        """    key""",
    ),
    Mutant(
        "one command more than the quota",
        ADMIT,
        "if accounts.sent[account] > terms.max_commands:",
        "if accounts.sent[account] > terms.max_commands + 1:",
    ),
    Mutant(
        "a reopening leaves the market closed",
        ADMIT,
        "        is_open=True,\n",
        "        is_open=listing.is_open if listing else True,\n",
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
        "an id goes stale one millisecond early, one by one",
        SEEN,
        "if id_ms < oldest_ms(time_ns):",
        "if id_ms <= oldest_ms(time_ns):",
    ),
    Mutant(
        "an id goes stale by the millisecond of its message",
        SEEN,
        "return -((DEDUPE_HORIZON_MS * NS_PER_MS - time_ns) // NS_PER_MS)",
        "return time_ns // NS_PER_MS - DEDUPE_HORIZON_MS",
    ),
    Mutant(
        "an id may be from the future",
        SEEN,
        "return (time_ns + CLOCK_SKEW_MS * NS_PER_MS) // NS_PER_MS",
        "return (time_ns + CLOCK_SKEW_MS * NS_PER_MS) // NS_PER_MS + 1",
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
        "        bucket.add(bytes(known))\n",
    ),
    Mutant(
        "ids are shared by all senders",
        SEEN,
        'return account.to_bytes(4, "little") + event_id',
        "return bytes(4) + event_id",
    ),
    Mutant(
        "a batch may hold one event too many",
        STRICT,
        "    if not 0 < len(elements) <= BATCH_MAX:",
        "    if not 0 < len(elements) <= BATCH_MAX + 1:",
    ),
    Mutant(
        "an event on a foreign subject is taken",
        STRICT,
        "if command.type not in subjects.TYPES_ON[subject.kind]:",
        "if not command.type:",
    ),
    Mutant(
        "a dead letter holds the whole batch",
        STRICT,
        "yield malformed(text, command, raws[ord_])",
        "yield malformed(text, command, payload)",
    ),
    Mutant(
        "a dead letter holds all of a long message",
        STRICT,
        "whole[:LETTER_MAX_BYTES]",
        "whole",
    ),
    Mutant(
        "nesting is left to the reader's stack",
        STRICT,
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
    # Accounts and their numbers.
    Mutant(
        "a payment reaches nobody",
        BOOK,
        "self._add(house, sum(micros.tolist()))",
        "self._add(house, 0)",
    ),
    Mutant(
        "two payments of one agent are one",
        BOOK,
        "np.add.at(sums, of_entry[counted], micros[counted])",
        "sums[of_entry[counted]] = micros[counted]",
    ),
    Mutant(
        "a wide account pays nothing",
        BOOK,
        "            self._add(account, -amount)\n",
        "            pass\n",
    ),
    Mutant(
        "a wide account loses its holds",
        BOOK,
        "WideAccount(balance, int(self.held[account]))",
        "WideAccount(balance, 0)",
    ),
    Mutant("holds do not end with the window", BOOK, "        self.held.fill(0)\n", ""),
    Mutant(
        "holds of wide accounts do not end",
        BOOK,
        "            account.held_micros = 0\n",
        "            account.held_micros += 0\n",
    ),
    Mutant("the quota is for ever", BOOK, "        self.sent.fill(0)\n", ""),
    Mutant("activity is never forgotten", BOOK, "        self.active.fill(0)\n", ""),
    Mutant("who moved credits is never forgotten", BOOK, "        self.moved.fill(0)\n", ""),
    Mutant(
        "the house has its number when it is first paid",
        NUMBERS,
        "                self._add_account((market, HOUSE))\n",
        "",
    ),
    Mutant(
        "numbers are given in the order of kinds",
        ALLOCATE,
        "in sorted(mentions):",
        "in mentions:",
    ),
    Mutant(
        "resources are numbered as they were decoded",
        ALLOCATE,
        "for number in used[np.argsort(first)].tolist():",
        "for number in used.tolist():",
    ),
]
