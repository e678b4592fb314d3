"""The messages that the twin says a window's commit is followed by (SEMANTICS §7)."""

from __future__ import annotations

from tests.twin.rows import Row, Rows
from tests.twin.scribe import FIRST_WINDOW, Scribe, of_window, uuid7
from tests.twin.twin import run


def result(rows: Rows, number: int, agent: str) -> Row:
    [found] = of_window(rows.agent_results, number, agent_id=agent)
    return found


def test_the_example_of_the_page() -> None:
    """The page shows two messages: the log that it describes must give them."""
    scribe = Scribe()
    scribe.window(-1)
    tokens = {"supply": 100_000, "initial_price_micros": 1_000}
    scribe.open({"tokens": tokens}, market="demo")
    for _ in range(33):
        scribe.tick()
    scribe.window(0)
    scribe.grant("a1", 1_000_000_000, market="demo", purpose="reward")
    bid = scribe.unit(500, 1_500, resource="tokens")
    scribe.send("market.demo.bid.a1", bid)
    transfer = scribe.event("credits_transferred", to_agent_id="a1", amount_micros=1)
    scribe.send("market.demo.transfer.a1", transfer)
    for _ in range(3):
        scribe.tick()
    rows = scribe.rows()
    where: Row = {"market": "demo", "shard": 0, "window_id": 1_795_366_296}
    won = {"status": "won", "won": {"tokens": 500}, "paid_micros": 0}
    refused = {"type": "credits_transferred", "status": "rejected", "reason": "self_transfer"}
    credit = {"kind": "grant", "from_agent_id": "treasury", "amount_micros": 1_000_000_000}
    expected = {"type": "agent_result", "version": 2, **where, "agent_id": "a1"}
    expected |= {"balance_micros": 1_000_000_000, "complete": True}
    expected["outcomes"] = [
        {"event_id": bid["event_id"], "seq": 36, "ord": 0} | won,
        {"event_id": transfer["event_id"], "seq": 37, "ord": 0} | refused,
    ]
    expected["credits"] = [{"seq": 35, "ord": 0, "purpose": "reward"} | credit]
    assert [expected] == rows.agent_results
    message = rows.window_messages[-1]
    price = {"resource": "tokens", "reference_micros": 1_000, "reserve_micros": 0}
    price |= {"clearing_micros": 0, "supply": 100_000, "demanded": 500, "wanted": 500, "sold": 500}
    assert [price | {"stale": True}] == message["prices"]
    head = {"type": "market_window", "version": 2, **where, "window_ms": 1_000, "next_seq": 41}
    head |= {"closed_at": "2026-11-22T16:51:37Z", "rule": "uniform", "agents": 1, "bids": 1}
    assert head.items() <= message.items()


def test_outcomes_stand_in_the_order_of_the_log_and_say_what_belongs_to_them() -> None:
    """A bid has `won` and `paid_micros`, every other command its `type`, in each case."""
    scribe = Scribe()
    scribe.open({"gpu": 2, "cpu": 9})
    scribe.grant("a1", 100)
    gone, lost = scribe.unit(1, 9), scribe.unit(2, 5)
    transfer = scribe.event("credits_transferred", to_agent_id="a2", amount_micros=3, purpose="")
    scribe.send("market.m1.bid.a1", gone)
    scribe.bundle("a1", {"gpu": 2, "cpu": 1}, 30)
    scribe.withdraw("a1", gone["event_id"])
    scribe.send("market.m1.bid.a1", scribe.unit(3, 1), lost)
    scribe.send("market.m1.transfer.a1", transfer)
    scribe.transfer("a1", "a2", 1_000, purpose="rent")
    found = result(scribe.rows(), 0, "a1")
    outcomes = [{k: v for k, v in o.items() if k != "event_id"} for o in found["outcomes"]]
    nothing = {"won": {}, "paid_micros": 0}
    # Only gpu is scarce: the loser's scarce density 10/2 is below the winner's 30/2.
    won = {"won": {"gpu": 2, "cpu": 1}, "paid_micros": 10}
    transferred = {"type": "credits_transferred"}
    short = {"status": "rejected", "reason": "insufficient_balance"}
    expected: list[Row] = [
        {"seq": 3, "ord": 0, "status": "withdrawn"} | nothing,
        {"seq": 4, "ord": 0, "status": "won"} | won,
        {"seq": 5, "ord": 0, "status": "applied", "type": "bid_withdrawn"},
        {"seq": 6, "ord": 0, "status": "rejected", "reason": "exceeds_supply"} | nothing,
        {"seq": 6, "ord": 1, "status": "lost"} | nothing,
        {"seq": 7, "ord": 0, "status": "applied", "purpose": ""} | transferred,
        {"seq": 8, "ord": 0, "purpose": "rent"} | transferred | short,
    ]
    assert expected == outcomes
    assert 100 - 10 - 3 == found["balance_micros"]


def test_receiving_alone_makes_a_result_but_never_for_the_treasury() -> None:
    """A credit without a result is only found by bidding above one's balance."""
    scribe = Scribe()
    scribe.open({"gpu": 2})
    scribe.grant("a1", 100)
    scribe.window(1)
    scribe.transfer("a1", "a2", 7)
    scribe.grant("a2", 5)
    scribe.window(2)
    scribe.grant("a1", 1)
    scribe.bid("a2", 1, 5)
    scribe.bid("a1", 2, 4)
    rows = scribe.rows()
    found = [(row["window_id"] - FIRST_WINDOW, row["agent_id"]) for row in rows.agent_results]
    assert [(0, "a1"), (1, "a1"), (1, "a2"), (2, "a1"), (2, "a2")] == found
    received = result(rows, 1, "a2")
    expected = [
        {"seq": 3, "ord": 0, "kind": "transfer", "from_agent_id": "a1", "amount_micros": 7},
        {"seq": 4, "ord": 0, "kind": "grant", "from_agent_id": "treasury", "amount_micros": 5},
    ]
    assert [] == received["outcomes"]
    assert expected == received["credits"]
    assert [] == result(rows, 1, "a1")["credits"]


def test_what_is_malformed_makes_no_result() -> None:
    """A command that could not be read has no id to report on."""
    scribe = Scribe()
    scribe.open({"gpu": 2})
    scribe.send("market.m1.bid.a1", {"type": "bid_placed"})
    assert [] == scribe.rows().agent_results


def test_too_much_is_reported_in_counts() -> None:
    """A result above the broker's limit would never arrive; half of one would mislead."""
    scribe = Scribe()
    scribe.open({"gpu": 10**6}, max_commands=10**6)
    scribe.grant("a1", 1_999)
    for _ in range(4):
        scribe.send("market.m1.bid.a1", *(scribe.unit(1, 1) for _ in range(1_000)))
    found = result(scribe.rows(), 0, "a1")
    assert False is found["complete"]
    assert {"won": 1_999, "rejected": 2_001} == found["counts"]
    assert not {"outcomes", "credits"} & found.keys()


def test_the_limit_is_in_bytes_of_the_message() -> None:
    """Counted in characters, a purpose of 200 signs of four bytes would pass as a quarter."""
    scribe = Scribe()
    scribe.open({"gpu": 1}, max_commands=10**6)
    scribe.grant("a1", 10**6)
    scribe.send("market.m1.transfer.a1", *(_gift(scribe) for _ in range(500)))
    scribe.window(1)
    scribe.send("market.m1.transfer.a1", *(_gift(scribe) for _ in range(600)))
    rows = scribe.rows()
    assert True is result(rows, 0, "a1")["complete"]  # an outcome has more than 900 bytes, ...
    assert {"applied": 600} == result(rows, 1, "a1")["counts"]  # ... and less than 350 characters


def _gift(scribe: Scribe) -> Row:
    gift = {"to_agent_id": "a2", "amount_micros": 1, "purpose": "\U0001f4b6" * 200}
    return scribe.event("credits_transferred", **gift)


def test_a_window_ends_at_its_bound_with_the_digits_it_needs() -> None:
    """A time with cut or padded digits is another text, and another message."""
    scribe = Scribe()
    scribe.send("market.m1.market", scribe.opening({"gpu": 1}))
    ends = {}
    for window_ms in (250, 100, 2_000, 7):
        [message] = run(scribe.log, window_ms=window_ms).window_messages
        ends[window_ms] = message["closed_at"]
    expected = {250: "2026-11-22T16:51:36.25Z", 100: "2026-11-22T16:51:36.1Z"}
    expected |= {2_000: "2026-11-22T16:51:38Z"}
    # 1 795 366 296 000 = 7 * 256 480 899 428 + 4: that window began 4 ms before.
    assert expected | {7: "2026-11-22T16:51:36.003Z"} == ends


def test_prices_stand_by_name() -> None:
    """In the order of an opening, two openings of one market would look different."""
    scribe = Scribe()
    scribe.open({"b": 1, "a10": 1, "a2": 1})
    [message] = scribe.rows().window_messages
    assert ["a10", "a2", "b"] == [price["resource"] for price in message["prices"]]


def test_ids_are_written_in_lower_case() -> None:
    """An id is compared by value; in a row it has one spelling."""
    scribe = Scribe()
    scribe.open({"gpu": 1})
    upper = uuid7(born_ms=FIRST_WINDOW * 1_000, number=0xABCDEF).upper()
    scribe.send("market.m1.bid.a1", scribe.unit(1, 1) | {"event_id": upper})
    [outcome] = result(scribe.rows(), 0, "a1")["outcomes"]
    assert upper.lower() == outcome["event_id"]
