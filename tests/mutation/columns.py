"""Mistakes of the fast way: what is decoded, judged and cleared many at once."""

from dataclasses import replace

from tests.mutation.mutant import (
    ADMISSION_TESTS,
    ADMIT_COLUMNS,
    ALLOCATE,
    CLEAR_COLUMNS,
    CLEARING_TESTS,
    COLUMNS,
    DECODING_TESTS,
    ORDER_BOOK,
    SEEN,
    Mutant,
)

_DECODING = [
    Mutant(
        "a repeated key passes in a crowd",
        COLUMNS,
        "        if marks.sum() == all_marks:\n            return None\n        _add",
        "        if marks.sum():\n            return None\n        _add",
    ),
    Mutant(
        "a bid without a type passes in a crowd",
        COLUMNS,
        "_many_bids = msgspec.json.Decoder(list[BidPlaced | _OtherCommand])",
        "_many_bids = msgspec.json.Decoder(list[BidPlaced])",
    ),
    Mutant(
        "a minimum above the quantity passes in a crowd",
        COLUMNS,
        "        certain &= least <= quantity\n",
        "",
    ),
    Mutant(
        "a minimum above the quantity passes in a crowd with bundles",
        COLUMNS,
        "unit &= (least <= quantity) & (limit == 0)",
        "unit &= limit == 0",
    ),
    Mutant(
        "white space passes for the digits of an id in a crowd",
        COLUMNS,
        "    if len(digits) != len(texts) * UUID_BYTES:\n        return None\n",
        "    digits = digits.ljust(len(texts) * UUID_BYTES)\n",
    ),
    Mutant(
        "the lengths of ids in a crowd make up for each other",
        COLUMNS,
        "    if any(size != ID_TEXT_BYTES for size in set(map(len, texts))):\n",
        "    if sum(map(len, texts)) != ID_TEXT_BYTES * len(texts):\n",
    ),
    Mutant(
        "an id of any version passes in a crowd",
        COLUMNS,
        "((version == UUID_VERSION) & (variant == UUID_VARIANT)).all()",
        "(variant == UUID_VARIANT).all()",
    ),
    Mutant(
        "an id may have its hyphens anywhere in a crowd",
        COLUMNS,
        """    if not (letters[:, HYPHENS_AT] == ord("-")).all():\n        return None\n""",
        "",
    ),
    Mutant(
        "a timestamp may be anything in a crowd",
        COLUMNS,
        "            found.certain[row] &= not bid.timestamp or"
        " _is_timestamp(bid.timestamp) is not None\n",
        "",
    ),
    Mutant(
        "escapes are joined",
        COLUMNS,
        """if not joint.isascii() or b"\\\\" in joint:""",
        "if not joint.isascii():",
    ),
    Mutant(
        "parts of a bundle may have any name in a crowd",
        COLUMNS,
        "not bids[row].resource and all(map(_is_name, bundles[row])) for row in bundles]",
        "not bids[row].resource for row in bundles]",
    ),
    Mutant(
        "a batch of any length is joined",
        COLUMNS,
        "whole[at] = 0 < elements[at] <= BATCH_MAX",
        "whole[at] = elements[at] > 0",
    ),
    Mutant(
        "who spoils one chunk is joined again in the next",
        COLUMNS,
        "        odd.add(int(joined.sender[bad]))\n",
        "",
    ),
]
_ADMISSION = [
    Mutant(
        "a crowd may exceed the quota",
        ADMIT_COLUMNS,
        "slow = accounts.sent[agents] + counted > allowed",
        "slow = counted > allowed",
    ),
    Mutant(
        "a crowd's commands do not count",
        ADMIT_COLUMNS,
        "    accounts.sent[agents[~slow]] += counted[~slow].astype(np.int32)\n",
        "",
    ),
    Mutant(
        "wide accounts are judged over columns",
        ADMIT_COLUMNS,
        "slow |= np.isin(agents, list(accounts.wide)) if accounts.wide else False",
        "slow |= False",
    ),
    Mutant(
        "a repeated id passes in a crowd",
        ADMIT_COLUMNS,
        "        repeating[agent_of[bad]] = True\n",
        "        repeating[agent_of[bad]] = False\n",
    ),
    Mutant(
        "an id is repeated unseen within a crowd",
        SEEN,
        "        if len(new) == len(keys) and bucket.isdisjoint(new):",
        "        if bucket.isdisjoint(new):",
    ),
    Mutant(
        "an id is repeated unseen after a crowd",
        ADMIT_COLUMNS,
        "        accounts.dedupe.remember_all(keys, at_ms=bucket * BUCKET_MS)\n",
        "        del keys\n",
    ),
    Mutant(
        "ids of those left to be judged are used",
        ADMIT_COLUMNS,
        "_remember(ids, ~slow[agent_of[timely]], accounts)",
        "_remember(ids, slow[agent_of[timely]] | True, accounts)",
    ),
    Mutant(
        "a crowd's holds are not taken",
        ADMIT_COLUMNS,
        "    np.add.at(accounts.held, run.account[admitted], hold[admitted])\n",
        "",
    ),
    Mutant(
        "a crowd's holds are taken once for each agent",
        ADMIT_COLUMNS,
        "    np.add.at(accounts.held, run.account[admitted], hold[admitted])\n",
        "    accounts.held[run.account[admitted]] += hold[admitted]\n",
    ),
    Mutant(
        "sums of a crowd's holds wrap around",
        ADMIT_COLUMNS,
        "poor = (upper > free >> HALF_BITS) | (total > free)",
        "poor = total > free",
    ),
    Mutant(
        "vickrey takes a min_quantity",
        ADMIT_COLUMNS,
        "_refuse(reason, unit & whole_only, RejectionReason.UNSUPPORTED_BY_RULE)",
        "_refuse(reason, unit & whole_only & False, RejectionReason.UNSUPPORTED_BY_RULE)",
    ),
    Mutant(
        "a bid for the whole supply is refused",
        ADMIT_COLUMNS,
        "unit & (run.quantity > supply)",
        "unit & (run.quantity >= supply)",
    ),
    Mutant(
        "a bid at the reserve is refused",
        ADMIT_COLUMNS,
        "unit & (run.unit_price_micros < reserve)",
        "unit & (run.unit_price_micros <= reserve)",
    ),
    Mutant(
        "reserve is skipped at admission",
        ADMIT_COLUMNS,
        "unit & (run.unit_price_micros < reserve)",
        "unit & (run.unit_price_micros < 0)",
    ),
    Mutant(
        "a crowd's bids before the opening are taken",
        ADMIT_COLUMNS,
        "    return unknown | earlier | same\n",
        "    return unknown\n",
    ),
    Mutant(
        "a closed market takes a crowd",
        ADMIT_COLUMNS,
        "flags = (False, not terms.is_open, rules",
        "flags = (False, False, rules",
    ),
    Mutant(
        "an id goes stale one millisecond early",
        ADMIT_COLUMNS,
        "carried < oldest_ms(run.time_ns)",
        "carried <= oldest_ms(run.time_ns)",
    ),
    Mutant(
        "stale ids come after duplicates",
        ADMIT_COLUMNS,
        "    timely = np.flatnonzero(reason == 0)\n",
        "    timely = np.arange(len(run))\n",
    ),
    Mutant(
        "bids of an agent that is funded meanwhile are judged before",
        ALLOCATE,
        "apart = np.isin(bids.account, touched) if touched else",
        "apart = np.isin(bids.account, touched) & False if touched else",
    ),
]
_CLEARING = [
    Mutant(
        "of equal unit bids the later is first",
        ORDER_BOOK,
        'order = np.argsort(-bids.unit_price_micros[rows], kind="stable")',
        'order = np.argsort(bids.unit_price_micros[rows], kind="stable")[::-1]',
    ),
    Mutant(
        "a part below the minimum is won over columns",
        ORDER_BOOK,
        "fits = self.least[self.filled : until] <= self.left",
        "fits = self.least[self.filled : until] > 0",
    ),
    Mutant(
        "a part must exceed the minimum over columns",
        ORDER_BOOK,
        "fits = self.least[self.filled : until] <= self.left",
        "fits = self.least[self.filled : until] < self.left",
    ),
    Mutant(
        "a bundle gets ahead of an earlier equal bid",
        ORDER_BOOK,
        "        return bisect_left(self.listed.rows, row, first, behind)\n",
        "        return first\n",
    ),
    Mutant(
        "a bundle's place is rounded down",
        ORDER_BOOK,
        "        if rest:\n            return first\n",
        "",
    ),
    Mutant(
        "a bundle must leave something over columns",
        CLEAR_COLUMNS,
        "if count > left[name]]",
        "if count >= left[name]]",
    ),
    Mutant(
        "bundles are ordered half as finely",
        CLEAR_COLUMNS,
        "scale = 2 * max((bundle.weight for bundle in bundles), default=1).bit_length()",
        "scale = max((bundle.weight for bundle in bundles), default=1).bit_length() // 2",
    ),
    Mutant(
        "a bundle's density is over all that it asked",
        CLEAR_COLUMNS,
        "density = Ratio(bundle.net_micros, weight_of(self.terms, asked))",
        "density = Ratio(bundle.net_micros, bundle.weight)",
    ),
    Mutant(
        "a losing bundle sets no price",
        CLEAR_COLUMNS,
        "            scarce.update(name for bundle in self.bundles for name in bundle.short_of)\n",
        "",
    ),
    Mutant(
        "costs over columns are rounded down",
        CLEAR_COLUMNS,
        "return units * reserve_micros - (-above.numerator * units) // above.denominator",
        "return units * reserve_micros + (above.numerator * units) // above.denominator",
    ),
    Mutant(
        "large products of costs wrap around",
        CLEAR_COLUMNS,
        "if len(units) and above.numerator * int(units.max()) < PRODUCT_MAX:",
        "if len(units):",
    ),
    Mutant(
        "a bundle's cost is rounded down",
        CLEAR_COLUMNS,
        "return reserve - (-above // self.denominator)",
        "return reserve + above // self.denominator",
    ),
    Mutant(
        "a loser at the price is rejected paradoxically",
        CLEAR_COLUMNS,
        "losers[value > 0]]] = value[value > 0]",
        "losers[value >= 0]]] = value[value >= 0]",
    ),
    Mutant(
        "wanted counts units at the price above",
        ORDER_BOOK,
        'np.searchsorted(-self.price, -ceil(price), side="right")',
        'np.searchsorted(-self.price, -ceil(price), side="left")',
    ),
    Mutant(
        "a bundle wants what it cannot pay",
        CLEAR_COLUMNS,
        "wanted[name] += units if wants else 0",
        "wanted[name] += units",
    ),
    Mutant(
        "large sums of payments wrap around",
        CLEAR_COLUMNS,
        "return (int((amounts >> LOW_BITS).sum()) << LOW_BITS) + int(low.sum())",
        "return int(amounts.sum()) + 0 * int(low.sum())",
    ),
    Mutant(
        "running sums of units wrap around",
        CLEAR_COLUMNS,
        " or len(rows) > ROWS_MAX:",
        ":",
    ),
]

FAST = [
    *(replace(mutant, tests=DECODING_TESTS) for mutant in _DECODING),
    *(replace(mutant, tests=ADMISSION_TESTS) for mutant in _ADMISSION),
    *(replace(mutant, tests=CLEARING_TESTS) for mutant in _CLEARING),
]
