"""Simulated agents are honest: within their balance, at most at their value, alike every time."""

from collections.abc import Callable
from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.simulation.population import (
    SEATING,
    Agent,
    TurnContext,
    kind_of,
    seat_agents,
    service_fee,
    stake_micros,
)
from flows.simulation.strategies import (
    Bargain,
    Bundler,
    Deadline,
    Follower,
    Need,
    Pacer,
    Patient,
    Strategy,
    Truthful,
    View,
    limit_of,
)
from walras_schemas import (
    AMOUNT_MAX,
    QUANTITY_MAX,
    AgentResult,
    BidOutcome,
    BidPlaced,
    BidStatus,
    BidWithdrawn,
    Command,
    ResourcePrice,
)

TOKENS = Need(resource="tokens", quantity=1_000, value_micros=1_500)
MEMORY = Need(resource="memory_mb", quantity=200, value_micros=300)
ATTENTION = Need(resource="attention", quantity=2, value_micros=2_500_000)

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "truthful": lambda: Truthful(TOKENS),
    "bundler": lambda: Bundler((TOKENS, MEMORY)),
    "pacer": lambda: Pacer(TOKENS),
    "deadline": lambda: Deadline(TOKENS, term=4),
    "follower": lambda: Follower((TOKENS, MEMORY)),
    "patient": lambda: Patient(ATTENTION, patience=3),
    "bargain": lambda: Bargain((TOKENS, MEMORY)),
}
VALUE = {need.resource: need.value_micros for need in (TOKENS, MEMORY, ATTENTION)}

each_strategy = pytest.mark.parametrize("kind", STRATEGIES)


def ids() -> Callable[[], str]:
    numbers = count()
    return lambda: f"01890a5d-ac96-774b-bcce-{next(numbers):012x}"


def price(resource: str, reference_micros: int, **changes: int | None) -> ResourcePrice:
    row = {"supply": 20_000, "demanded": 25_000, "wanted": 25_000, "sold": 20_000} | changes
    row = {"reserve_micros": 0, "clearing_micros": None} | row
    return ResourcePrice.model_validate(
        {"resource": resource, "reference_micros": reference_micros, "stale": True, **row}
    )


PRICES = {
    "tokens": price("tokens", 1_000, clearing_micros=1_200),
    "memory_mb": price("memory_mb", 200),
    "attention": price("attention", 2_000_000, supply=30, demanded=40, clearing_micros=3_000_000),
}


def view(*, seed: int = 7, **known: object) -> View:
    ordinary: dict[str, object] = {
        "turn": 0,
        "turns_left": 10,
        "balance_micros": 100_000_000,
        "promised_micros": 0,
        "prices": PRICES,
        "outcomes": (),
        "rush_percent": 100,
        "rng": Random(seed),
        "new_id": ids(),
    }
    return View(**(ordinary | known))  # type: ignore[arg-type]


def outcome(event_id: str, status: BidStatus, **won: int) -> BidOutcome:
    return BidOutcome(event_id=event_id, seq=1, ord=0, status=status, won=won, paid_micros=0)


def result(*outcomes: BidOutcome, window_id: int, balance_micros: int) -> AgentResult:
    return AgentResult(
        market="m1",
        agent_id="truthful-000",
        shard=0,
        window_id=window_id,
        balance_micros=balance_micros,
        complete=True,
        outcomes=list(outcomes),
        credits=[],
    )


def bids(commands: list[Command]) -> list[BidPlaced]:
    return [command for command in commands if isinstance(command, BidPlaced)]


def demand_of(bid: BidPlaced) -> dict[str, int]:
    if bid.bundle is not None:
        return bid.bundle
    assert bid.resource is not None
    assert bid.quantity is not None
    return {bid.resource: bid.quantity}


def act(agent: Agent, new_id: Callable[[], str]) -> list[Command]:
    context = TurnContext(prices=PRICES, turns_left=5, rush_percent=100, payees=(), new_id=new_id)
    return agent.act(context)


@each_strategy
@given(seed=st.integers(0, 2**64), turns=st.integers(1, 6), rush=st.integers(50, 200))
def test_same_view_same_commands(kind: str, seed: int, turns: int, rush: int) -> None:
    """A demo that differs from run to run for the same seed cannot be examined twice."""
    runs = [
        [
            strategy(view(turn=turn, rush_percent=rush, rng=rng, new_id=new_id))
            for turn in range(turns)
        ]
        for strategy, rng, new_id in ((STRATEGIES[kind](), Random(seed), ids()) for _ in "ab")
    ]
    assert runs[0] == runs[1]


@each_strategy
@given(
    seed=st.integers(0, 2**64),
    balance=st.integers(0, 10**10),
    promised=st.integers(0, 10**10),
    rush=st.integers(50, 200),
)
def test_bids_stay_within_what_is_free(
    kind: str, seed: int, balance: int, promised: int, rush: int
) -> None:
    """An agent that bids credits it knows it lacks would make the rejections a show.

    The bargain hunter forgets its holds: each of its bids alone is within its balance.
    """
    seen = view(seed=seed, balance_micros=balance, promised_micros=promised, rush_percent=rush)
    limits = [limit_of(command) for command in STRATEGIES[kind]()(seen)]
    assert all(limit >= 0 for limit in limits)
    if kind == "bargain":
        assert max(limits, default=0) <= balance
    else:
        assert sum(limits) <= seen.free_micros


@each_strategy
@given(seed=st.integers(0, 2**64), rush=st.integers(50, 200), supply=st.integers(0, 10**12))
def test_quantities_and_prices_are_in_range(kind: str, seed: int, rush: int, supply: int) -> None:
    """A quantity of nothing, or above the supply, is a defect of ours, not an honest bid."""
    prices = {name: row.model_copy(update={"supply": supply}) for name, row in PRICES.items()}
    seen = view(seed=seed, balance_micros=10**12, rush_percent=rush, prices=prices)
    for bid in bids(STRATEGIES[kind]()(seen)):
        assert all(1 <= units <= min(supply, QUANTITY_MAX) for units in demand_of(bid).values())
        assert 1 <= limit_of(bid) <= AMOUNT_MAX


@each_strategy
@given(seed=st.integers(0, 2**64))
def test_no_bid_is_above_its_worth(kind: str, seed: int) -> None:
    """Prices in a market of liars say nothing; a tenth is what a value moves by."""
    for bid in bids(STRATEGIES[kind]()(view(seed=seed))):
        value = sum(VALUE[name] * units for name, units in demand_of(bid).items())
        assert limit_of(bid) * 10 <= value * 11


def test_bundle_is_one_call_of_all_its_parts() -> None:
    """Tokens without the memory to use them are worth nothing to this agent."""
    (bid,) = bids(STRATEGIES["bundler"]()(view()))
    assert bid.bundle is not None
    assert {"tokens", "memory_mb"} == bid.bundle.keys()


def test_pacer_keeps_credits_for_its_last_turn() -> None:
    """A budget that is gone halfway leaves an agent out of the market it needs."""
    (bid,) = bids(Pacer(TOKENS)(view(balance_micros=1_000_000, turns_left=20)))
    assert limit_of(bid) <= 2 * 1_000_000 // 20


def test_deadline_raises_its_bid_until_it_wins() -> None:
    """A job is whole or nothing, and is worth most in the last turn before its deadline."""
    strategy = Deadline(TOKENS, term=4)
    placed = [bids(strategy(view(turn=turn)))[0] for turn in range(4)]
    prices = [bid.unit_price_micros for bid in placed]
    assert sorted(prices, key=int) == prices  # type: ignore[arg-type]
    assert TOKENS.value_micros == prices[-1]
    assert {(TOKENS.quantity, TOKENS.quantity)} == {(b.quantity, b.min_quantity) for b in placed}


def test_deadline_rests_once_its_job_is_won() -> None:
    """Work that is done is not bought twice."""
    strategy = Deadline(TOKENS, term=4)
    (bid,) = bids(strategy(view(turn=0)))
    won = outcome(bid.event_id, BidStatus.WON, tokens=TOKENS.quantity)
    assert [] == strategy(view(turn=1, outcomes=(won,)))
    assert 1 == len(strategy(view(turn=2)))


def test_deadline_waits_for_the_outcome() -> None:
    """A second bid for the same job, while the first is open, could win it twice."""
    assert [] == Deadline(TOKENS, term=4)(view(promised_micros=1))


def test_follower_bids_near_the_last_price() -> None:
    """A follower of the price must be seen to follow it, and never above its value."""
    low_value = Need(resource="tokens", quantity=10, value_micros=1_210)
    for seed in range(50):
        first, *_ = bids(Follower((low_value,))(view(seed=seed)))
        assert first.unit_price_micros is not None
        assert 1_200 <= first.unit_price_micros <= 1_210


def test_follower_takes_back_the_bid_it_no_longer_wants() -> None:
    """A withdrawal that names another bid, or comes before it, withdraws nothing."""
    turns = [Follower((TOKENS, MEMORY))(view(seed=seed)) for seed in range(50)]
    changed = [turn for turn in turns if len(turn) > 1]
    assert changed
    for first, back, second in changed:
        assert isinstance(back, BidWithdrawn)
        assert isinstance(first, BidPlaced)
        assert isinstance(second, BidPlaced)
        assert first.event_id == back.bid_event_id
        assert first.resource != second.resource


def test_patient_waits_out_busy_windows_but_not_for_ever() -> None:
    """Without an end to its patience it would never get a person's attention at all."""
    strategy = Patient(ATTENTION, patience=3)
    assert [0, 0, 0, 1] == [len(strategy(view(turn=turn))) for turn in range(4)]


def test_bargain_hunter_misjudges_now_and_then() -> None:
    """If no agent ever erred, a newcomer would never see a rejection."""
    poor = [STRATEGIES["bargain"]()(view(seed=seed, balance_micros=300_000)) for seed in range(9)]
    assert any(sum(map(limit_of, turn)) > 300_000 for turn in poor)


@given(seed=st.integers(0, 2**64), balance=st.integers(0, 10**9))
def test_fee_is_a_small_part_of_what_is_free(seed: int, balance: int) -> None:
    """Fees that eat the stake would empty the market."""
    fees = service_fee(view(seed=seed, balance_micros=balance), ["a1", "a2"], payer="a1")
    assert all(50 * fee.amount_micros <= balance for fee in fees)
    assert {fee.to_agent_id for fee in fees} <= {"a2"}


@pytest.mark.parametrize("agents", [1, 7, 20, 200])
def test_seats_are_the_same_for_a_seed(agents: int) -> None:
    """A second run continues with the agents of the first; other needs make another market."""
    first, second = (seat_agents(PRICES, agents=agents, seed=7) for _ in range(2))
    assert [(a.name, a.strategy) for a in first] == [(a.name, a.strategy) for a in second]
    assert agents == len({agent.name for agent in first})


def test_small_populations_have_every_kind() -> None:
    """A demo of a few agents shall still show every strategy."""
    assert set(SEATING) == {agent.kind for agent in seat_agents(PRICES, agents=7, seed=1)}


@pytest.mark.parametrize("agents", [12, 200])
def test_everyone_together_wants_more_than_there_is(agents: int) -> None:
    """Without scarcity every price is the reserve, and a market has nothing to show."""
    seated = seat_agents(PRICES, agents=agents, seed=7)
    for agent in seated:
        agent.balance_micros = stake_micros(PRICES, agent.kind, agents=agents)
    demand = dict.fromkeys(PRICES, 0)
    for bid in bids([command for agent in seated for command in act(agent, ids())]):
        for name, units in demand_of(bid).items():
            demand[name] += units
    scarce = [name for name, units in demand.items() if units > PRICES[name].supply * 8 // 10]
    assert {"tokens", "memory_mb"} <= set(scarce)


def test_agent_counts_a_promise_as_spent_until_it_is_told() -> None:
    """Credits promised twice are the mistake that the market would have to catch."""
    agent = Agent(name="truthful-000", strategy=Truthful(TOKENS), rng=Random(1))
    agent.balance_micros = 1_600_000
    new_id = ids()
    placed = bids([command for _ in range(5) for command in act(agent, new_id)])
    assert 1_500_000 < sum(map(limit_of, placed)) <= 1_600_000
    assert [] == act(agent, new_id)
    lost = [outcome(bid.event_id, BidStatus.LOST) for bid in placed]
    agent.learn(result(*lost, window_id=1, balance_micros=1_600_000))
    assert bids(act(agent, new_id))


def test_a_repeated_result_counts_once() -> None:
    """Results are published again after a crash: an old balance must not come back."""
    agent = Agent(name="truthful-000", strategy=Truthful(TOKENS), rng=Random(1))
    agent.learn(result(window_id=2, balance_micros=5))
    agent.learn(result(window_id=1, balance_micros=9))
    agent.learn(result(window_id=2, balance_micros=9))
    assert 5 == agent.balance_micros


def test_a_window_that_lists_no_outcomes_ends_all_promises() -> None:
    """Credits that count as promised for ever are never bid again."""
    agent = Agent(name="truthful-000", strategy=Truthful(TOKENS), rng=Random(1))
    agent.balance_micros = 1_600_000
    new_id = ids()
    for _ in range(5):
        act(agent, new_id)
    assert [] == act(agent, new_id)
    nothing = {"complete": False, "outcomes": None, "credits": None}
    agent.learn(result(window_id=1, balance_micros=1_600_000).model_copy(update=nothing))
    assert bids(act(agent, new_id))


def test_name_tells_the_strategy() -> None:
    """The ledger knows no strategies: the tables read them off the names."""
    agents = seat_agents(PRICES, agents=20, seed=7)
    assert [*SEATING] == [kind_of(agent.name) for agent in agents]
