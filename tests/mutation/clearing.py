"""Mistakes from the end of a window on: who wins, what it pays, what is settled and told."""

from tests.mutation.mutant import ALLOCATE, ANNOUNCE, BOOK, CLEAR, SETTLE, Mutant

CLEARING = [
    # Who wins, and what it pays.
    Mutant(
        "ties broken the other way",
        CLEAR,
        "ranked.sort(key=_density, reverse=True)",
        "ranked.sort(key=_density)\n    ranked.reverse()",
    ),
    Mutant(
        "densities compared inexactly",
        CLEAR,
        "scale = 2 * max((weight for _, _, weight in weighed), default=1).bit_length()",
        "scale = max((weight for _, _, weight in weighed), default=1).bit_length() // 2",
    ),
    Mutant(
        "densities compared half as finely",
        CLEAR,
        "scale = 2 * max((weight for _, _, weight in weighed), default=1).bit_length()",
        "scale = max((weight for _, _, weight in weighed), default=1).bit_length()",
    ),
    Mutant(
        "a bundle's density is its limit",
        CLEAR,
        "return bid.unit_price_micros, weight_of(terms, bid.bundle)",
        "return bid.unit_price_micros, 1",
    ),
    Mutant(
        "a part below the minimum is won",
        CLEAR,
        "bid.won = fits if fits >= bid.min_quantity else 0",
        "bid.won = fits",
    ),
    Mutant(
        "a part must exceed the minimum",
        CLEAR,
        "bid.won = fits if fits >= bid.min_quantity else 0",
        "bid.won = fits if fits > bid.min_quantity else 0",
    ),
    Mutant(
        "a bundle must leave something",
        CLEAR,
        "all(units <= left[name] for name, units in bid.bundle.items())",
        "all(units < left[name] for name, units in bid.bundle.items())",
    ),
    Mutant(
        "a bundle fits if a part of it fits",
        CLEAR,
        "all(units <= left[name] for name, units in bid.bundle.items())",
        "any(units <= left[name] for name, units in bid.bundle.items())",
    ),
    Mutant(
        "what is won is not taken", CLEAR, "            left[name] -= units", "            pass"
    ),
    Mutant(
        "a bid rejected above the winners sets the price",
        CLEAR,
        "if r.density <= lowest.density and r.lost_a_unit)",
        "if r.lost_a_unit)",
    ),
    Mutant(
        "an equal rejected bid sets no price",
        CLEAR,
        "if r.density <= lowest.density and r.lost_a_unit)",
        "if r.density < lowest.density and r.lost_a_unit)",
    ),
    Mutant(
        "a partial winner sets no price",
        CLEAR,
        "return self.bid.won < self.bid.quantity",
        "return not self.bid.won",
    ),
    Mutant(
        "floor instead of ceil",
        CLEAR,
        "return -(-numerator // denominator)",
        "return numerator // denominator",
    ),
    Mutant(
        "reserve is skipped in the payment",
        CLEAR,
        "bid.paid_micros = max(priced, reserve_of(terms, bid.allocation))",
        "bid.paid_micros = priced",
    ),
    Mutant(
        "the highest accepted bid is the level",
        CLEAR,
        "(entry for entry in reversed(ranked) if entry.bid.won)",
        "(entry for entry in ranked if entry.bid.won)",
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
    # What is settled, remembered and told.
    Mutant(
        "hold is not released by the window's end",
        SETTLE,
        "    book.accounts[bid.agent].held_micros -= limit\n",
        "",
    ),
    Mutant("bids live on in the next window", SETTLE, "    book.open_bids.clear()\n", ""),
    Mutant(
        "a partial win is told as a whole one",
        SETTLE,
        "if bid.won == bid.quantity else",
        "if bid.won else",
    ),
    Mutant(
        "a price below the reserve is told",
        SETTLE,
        "name: max(round_half_up(clearing.level * rules.reference_micros), rules.reserve_micros)",
        "name: round_half_up(clearing.level * rules.reference_micros)",
    ),
    Mutant(
        "a bundle's payment is split by units",
        SETTLE,
        "name: terms.resources[name].reference_micros * units",
        "name: units",
    ),
    Mutant(
        "the digest forgets what was paid",
        SETTLE,
        "        bid.won,\n        bid.paid_micros,\n",
        "        bid.won,\n",
    ),
    Mutant(
        "the digest forgets the windows before",
        SETTLE,
        "running = sha256(prev_digest)",
        "running = sha256()",
    ),
    Mutant("activity is never forgotten", SETTLE, "    book.active.clear()\n", ""),
    Mutant(
        "a payment is taken and reaches nobody",
        BOOK,
        "payee.balance_micros += amount_micros",
        "payee.balance_micros += 0",
    ),
    Mutant(
        "a recipient's new balance is not told",
        BOOK,
        "self.active.update((debit, credit))",
        "self.active.add(debit)",
    ),
    Mutant(
        "a window of ticks leaves a row",
        ALLOCATE,
        "return not (self.bids or self.commands or self.dead_letters)",
        "return False",
    ),
    Mutant(
        "a window of dead letters leaves no row",
        ALLOCATE,
        "return not (self.bids or self.commands or self.dead_letters)",
        "return not (self.bids or self.commands)",
    ),
    Mutant(
        "every slice begins the window anew",
        ALLOCATE,
        "window = self._open = self._open or OpenWindow(",
        "window = self._open = OpenWindow(",
    ),
    Mutant(
        "a refused grant is paid out",
        ALLOCATE,
        "        if reason is None:\n            self._book(event.market).move(",
        "        if event.market:\n            self._book(event.market).move(",
    ),
    Mutant(
        "a later window's result has the same id",
        ANNOUNCE,
        'f"{settlement.shard}:{settlement.window_id}:{market}:{agent}"',
        'f"{settlement.shard}:{market}:{agent}"',
    ),
]
