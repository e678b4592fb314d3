"""Mistakes from the end of a window on: who wins, what it pays, what is settled and published."""

from tests.mutation.mutant import ALLOCATE, ANNOUNCE, CLEAR, DIGEST, SETTLE, Mutant

CLEARING = [
    # Who wins, and what it pays.
    Mutant(
        "ties broken the other way",
        CLEAR,
        'ranked.sort(key=attrgetter("density"), reverse=True)',
        'ranked.sort(key=attrgetter("density"))\n    ranked.reverse()',
    ),
    Mutant(
        "densities compared inexactly",
        CLEAR,
        "scale = 2 * max(weights, default=1).bit_length()",
        "scale = max(weights, default=1).bit_length() // 2",
    ),
    Mutant(
        "densities compared half as finely",
        CLEAR,
        "scale = 2 * max(weights, default=1).bit_length()",
        "scale = max(weights, default=1).bit_length()",
    ),
    Mutant(
        "the order is by the whole price",
        CLEAR,
        "nets = [bid.unit_price_micros - reserve_of(terms, _lot(bid)) for bid in book]",
        "nets = [bid.unit_price_micros for bid in book]",
    ),
    Mutant(
        "a part below the minimum is won",
        CLEAR,
        "            if fits >= bid.min_quantity:",
        "            if fits:",
    ),
    Mutant(
        "a part must exceed the minimum",
        CLEAR,
        "            if fits >= bid.min_quantity:",
        "            if fits > bid.min_quantity:",
    ),
    Mutant(
        "a bundle must leave something",
        CLEAR,
        "for name, units in bid.demand.items() if units > left[name]]",
        "for name, units in bid.demand.items() if units >= left[name]]",
    ),
    Mutant("what is won is not taken", CLEAR, "left[bid.resource] -= fits", "pass"),
    Mutant(
        "a loser prices all that it asked for",
        CLEAR,
        "            if not entry.short_of:\n",
        "            if entry.short_of:\n"
        "                entry.short_of = list(bid.demand)\n"
        "            else:\n",
    ),
    Mutant(
        "a bid rejected above the winners sets the price",
        CLEAR,
        "{name: min(lowest[name], highest.get(name, lowest[name])) for name in scarce}",
        "{name: highest.get(name, lowest[name]) for name in scarce}",
    ),
    Mutant(
        "the lowest winner sets the price",
        CLEAR,
        "{name: min(lowest[name], highest.get(name, lowest[name])) for name in scarce}",
        "{name: lowest[name] for name in scarce}",
    ),
    Mutant(
        "a partial winner sets no price",
        CLEAR,
        "            if bid.won < bid.quantity:\n",
        "            if not bid.won:\n",
    ),
    Mutant(
        "the scarce density is over all that was asked",
        CLEAR,
        "asked = {name: units for name, units in _lot(entry.bid).items() if name in scarce}",
        "asked = _lot(entry.bid)",
    ),
    Mutant(
        "floor instead of ceil",
        CLEAR,
        "return -(-value.numerator // value.denominator)",
        "return value.numerator // value.denominator",
    ),
    Mutant(
        "reserve is skipped in the payment",
        CLEAR,
        "    return reserve_of(terms, units) + ceil(above)\n",
        "    return ceil(above)\n",
    ),
    Mutant(
        "a loser reports no lost value",
        CLEAR,
        "bid.lost_value_micros = value if value > 0 else None",
        "bid.lost_value_micros = None",
    ),
    Mutant(
        "a loser reports a lost value of nothing",
        CLEAR,
        "bid.lost_value_micros = value if value > 0 else None",
        "bid.lost_value_micros = value if value >= 0 else None",
    ),
    Mutant(
        "wanted counts every bid",
        CLEAR,
        "wanting = [r for r in ranked if r.bid",
        "wanting = [r for r in ranked if r.bid or r.bid",
    ),
    Mutant(
        "a bid at its cost does not want",
        CLEAR,
        "if r.bid.limit_micros >= cost_of(terms, levels, r.bid.demand)]",
        "if r.bid.limit_micros > cost_of(terms, levels, r.bid.demand)]",
    ),
    Mutant(
        "a partial winner pays for what it asked",
        CLEAR,
        "bid.paid_micros = bid.won * bid.unit_price_micros",
        "bid.paid_micros = (bid.won and bid.quantity) * bid.unit_price_micros",
    ),
    Mutant(
        "vickrey lets an agent rival itself",
        CLEAR,
        "for bid, lost in losing if bid.agent != agent)",
        "for bid, lost in losing)",
    ),
    Mutant(
        "vickrey forgets the reserve of units nobody lost",
        CLEAR,
        "return value + left * reserve",
        "return value",
    ),
    Mutant(
        "vickrey charges the best value for every unit",
        CLEAR,
        "taken = min(lost, left)",
        "taken = left",
    ),
    Mutant(
        "vickrey mixes the resources",
        CLEAR,
        "if entry.bid.resource == resource]",
        "if entry.bid.resource]",
    ),
    Mutant(
        "the largest remainder goes last",
        CLEAR,
        "(-(total * bid.won % units), bid.seq, bid.ord)",
        "(total * bid.won % units, bid.seq, bid.ord)",
    ),
    Mutant(
        "equal remainders go to the later bid",
        CLEAR,
        "(-(total * bid.won % units), bid.seq, bid.ord)",
        "(-(total * bid.won % units), -bid.seq, -bid.ord)",
    ),
    Mutant(
        "halves are rounded down",
        CLEAR,
        "(2 * value.numerator + value.denominator) // (2 * value.denominator)",
        "(2 * value.numerator + value.denominator - 1) // (2 * value.denominator)",
    ),
    Mutant(
        "a bundle's payment is split by units",
        CLEAR,
        "share = Fraction(above * rules.reference_micros * units, weight)",
        "share = Fraction(above * units, sum(won.values()))",
    ),
    # What is settled, remembered and published.
    Mutant(
        "a partial win is reported as a whole one",
        SETTLE,
        "np.select([won == asked, won > 0], [WON, PARTIALLY_WON], LOST)",
        "np.select([won == asked, won > 0], [WON, WON], LOST)",
    ),
    Mutant(
        "withdrawn bids are cleared",
        SETTLE,
        "rows[bids.status[rows] == LOST])",
        "rows[bids.status[rows] != REJECTED])",
    ),
    Mutant(
        "withdrawn bids are offers",
        SETTLE,
        "admitted = rows[(status != REJECTED) & (status != WITHDRAWN)]",
        "admitted = rows[status != REJECTED]",
    ),
    Mutant(
        "agents whose bids were refused do not count",
        SETTLE,
        "agents=len(np.unique(bids.account[rows])),",
        "agents=len(np.unique(bids.account[admitted])),",
    ),
    Mutant(
        "sums of a market wrap around",
        SETTLE,
        "offered_micros=exact_sum(bids.quantity[admitted] * price),",
        "offered_micros=int((bids.quantity[admitted] * price).sum()),",
    ),
    Mutant(
        "a closed market settles nothing",
        SETTLE,
        "in sorted(window.active.intersection(priced.terms)):",
        "in sorted(m for m, its in priced.terms.items() if m in window.active and its.is_open):",
    ),
    Mutant(
        "quotes alone make a market active",
        ALLOCATE,
        "        if row.type != QUOTE:\n            self.active.add(row.market)\n",
        "        self.active.add(row.market)\n",
    ),
    Mutant(
        "refused bids leave their market at rest",
        ALLOCATE,
        "markets = np.unique(self.accounts.market[bids.account]).tolist()",
        "markets = np.unique(self.accounts.market[bids.account[bids.status == LOST]]).tolist()",
    ),
    Mutant(
        "the digest forgets what bids paid",
        DIGEST,
        '    ("paid_micros", "<i8"),\n',
        "",
    ),
    Mutant(
        "the digest forgets what bundles ask",
        DIGEST,
        "int(bids.ord[row]), sorted(bundle.items())",
        "int(bids.ord[row]), len(bundle)",
    ),
    Mutant(
        "the digest forgets the windows before",
        DIGEST,
        "running = sha256(settlement.prev_digest + FORM)",
        "running = sha256(FORM)",
    ),
    Mutant(
        "a window of ticks leaves a row",
        ALLOCATE,
        "return not (self.runs or self.commands or self.dead_letters or self.metered.touched)",
        "return False",
    ),
    Mutant(
        "a window of dead letters leaves no row",
        ALLOCATE,
        "return not (self.runs or self.commands or self.dead_letters or self.metered.touched)",
        "return not (self.runs or self.commands or self.metered.touched)",
    ),
    Mutant(
        "every slice begins the window anew",
        ALLOCATE,
        "window = self._open = self._open or self._begin(priced.slice.first_seq)",
        "window = self._open = self._begin(priced.slice.first_seq)",
    ),
    Mutant(
        "a refused grant is paid out",
        ALLOCATE,
        "if isinstance(command, CreditsGranted) and reason is None:",
        "if isinstance(command, CreditsGranted):",
    ),
    Mutant(
        "a later window's message has the same id",
        ANNOUNCE,
        'f"{settlement.shard}:{settlement.window_id}:{row.market}"',
        'f"{settlement.shard}:{row.market}"',
    ),
    Mutant(
        "a large result is published whole",
        ANNOUNCE,
        "if len(payload) > RESULT_MAX_BYTES:",
        "if len(payload) > 2 * RESULT_MAX_BYTES:",
    ),
    Mutant(
        "outcomes stand in the order of their kinds",
        ANNOUNCE,
        '",".join(text for _, text in sorted(both))',
        '",".join(text for _, text in both)',
    ),
    Mutant(
        "a purpose does not arrive",
        ANNOUNCE,
        "        amount_micros=row.amount_micros,\n"
        "        purpose=UNSET if row.purpose is None else row.purpose,\n",
        "        amount_micros=row.amount_micros,\n",
    ),
]
