"""A test of a bidder of your own: in a real market, without a server, in a few milliseconds."""

from flows.testing import LogWriter, Outcome, settle_log

CEILING_MICROS = 12
WANTED = 10


def next_price_micros(price_micros: int, outcome: Outcome) -> int:
    """The bidder under test: what to offer for a unit after this outcome."""
    if outcome.status == "won":
        return price_micros
    return min(price_micros + 1, CEILING_MICROS)


def play(*, rival_micros: int, windows: int) -> list[Outcome]:
    """What the bidder gets, window by window, from a market in which a rival wants everything."""
    log = LogWriter()
    log.open(tokens={"supply": WANTED})
    log.grant("me", 1_000)
    log.grant("rival", 1_000)
    outcomes, price_micros = [], 8
    for _ in range(windows):
        log.bid("rival", resource="tokens", quantity=WANTED, unit_price_micros=rival_micros)
        bid = log.bid("me", resource="tokens", quantity=WANTED, unit_price_micros=price_micros)
        outcomes.append(settle_log(log.records).outcome(bid))
        price_micros = next_price_micros(price_micros, outcomes[-1])
        log.wait(1000)
    return outcomes


def test_the_bidder_raises_its_price_until_it_wins() -> None:
    """A bidder that gives up, or pays its own price, would get less for its credits."""
    won = Outcome("won", won={"tokens": WANTED}, paid_micros=9 * WANTED)
    assert [Outcome("lost"), Outcome("lost"), won, won] == play(rival_micros=9, windows=4)


def test_the_bidder_never_pays_more_than_its_ceiling() -> None:
    """A rival that overpays must not drag the bidder along."""
    assert [Outcome("lost")] * 8 == play(rival_micros=13, windows=8)
