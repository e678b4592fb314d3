"""The subjects of a market: what is built is read back, and nothing else is read at all."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walras_schemas import (
    COMMANDS,
    METER_EVENTS,
    METERS_MAX,
    NAME_PATTERN,
    RESERVED_ACCOUNTS,
    Subject,
    subjects,
)

names = st.from_regex(NAME_PATTERN, fullmatch=True)
agents = names.filter(lambda name: name not in RESERVED_ACCOUNTS)
tokens = st.sampled_from(
    [
        *("market", "bid", "transfer", "grant", "price", "meter", "clock", "m1", "a1", "house"),
        *("", "*", ">", "Ä", "0", "00", "63", "64", "-1", "٣"),
    ]
)


@given(market=names, agent=agents, resource=names, shard=st.integers(min_value=0))
def test_what_is_built_is_read_back(market: str, agent: str, resource: str, shard: int) -> None:
    """A subject that reads back otherwise would credit another agent or market."""
    assert [
        Subject("bid", market, agent=agent),
        Subject("transfer", market, agent=agent),
        Subject("grant", market),
        Subject("market", market),
        Subject("price", market, resource=resource),
        Subject("meter", market, meter=shard % METERS_MAX),
        Subject("clock"),
    ] == [
        subjects.parse(subjects.bid(market, agent)),
        subjects.parse(subjects.transfer(market, agent)),
        subjects.parse(subjects.grant(market)),
        subjects.parse(subjects.market(market)),
        subjects.parse(subjects.price(market, resource)),
        subjects.parse(subjects.meter(market, shard % METERS_MAX)),
        subjects.parse(subjects.clock(shard)),
    ]


def rebuild(subject: Subject) -> str:
    """The only text that may read as this subject of a market."""
    last = subject.agent or subject.resource
    if subject.meter is not None:
        last = str(subject.meter)
    ends = [] if last is None else [last]
    return ".".join(["market", str(subject.market), subject.kind, *ends])


@given(st.lists(tokens, max_size=5).map(".".join) | st.text(max_size=20))
def test_whatever_is_read_was_built(text: str) -> None:
    """Two texts for one subject would let a permission on one of them be walked around."""
    subject = subjects.parse(text)
    if subject is not None and subject.kind != "clock":
        assert text == rebuild(subject)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("market.m1.bid.a1", Subject("bid", "m1", agent="a1")),
        ("market.m1.transfer.a1", Subject("transfer", "m1", agent="a1")),
        ("market.m1.grant", Subject("grant", "m1")),
        ("market.m1.market", Subject("market", "m1")),
        ("market.m1.price.tokens", Subject("price", "m1", resource="tokens")),
        ("market.house.price.treasury", Subject("price", "house", resource="treasury")),
        ("market.grant.grant", Subject("grant", "grant")),
        ("market.m1.meter.0", Subject("meter", "m1", meter=0)),
        ("market.m1.meter.63", Subject("meter", "m1", meter=63)),
        ("market.m1.meter.64", None),
        ("market.m1.meter.01", None),
        ("market.m1.meter.+1", None),
        ("market.m1.meter.1_0", None),
        ("market.m1.meter.\u0663", None),
        ("market.m1.meter.", None),
        ("market.m1.meter", None),
        ("clock.0", Subject("clock")),
        ("clock.Any Token", Subject("clock")),
        ("", None),
        ("clock", None),
        ("clock.", None),
        ("clock.0.1", None),
        ("market", None),
        ("market.m1", None),
        ("market.m1.", None),
        ("market.m1.bid", None),
        ("market.m1.bid.", None),
        ("market.m1.bid.a1.x", None),
        ("market.m1.bid.treasury", None),
        ("market.m1.transfer.house", None),
        ("market.m1.bid.A1", None),
        ("market.m1.bid.a1\n", None),
        ("market.m1.bid.*", None),
        ("market.m1.bid.>", None),
        ("market.>", None),
        ("market.m 1.bid.a1", None),
        ("market.mä.bid.a1", None),
        ("market.m1.grant.a1", None),
        ("market.m1.market.a1", None),
        ("market.m1.price", None),
        ("market.m1.price.Tokens", None),
        ("market.m1.clock.a1", None),
        ("market..bid.a1", None),
        (".market.m1.bid.a1", None),
        ("MARKET.m1.bid.a1", None),
        ("result.m1.a1", None),
        ("window.m1", None),
    ],
)
def test_a_subject_is_well_formed_or_none(text: str, expected: Subject | None) -> None:
    """A wrong count of tokens or a reserved name must end as a dead letter, not as a command."""
    assert expected == subjects.parse(text)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (subjects.result("m1", "a1"), "result.m1.a1"),
        (subjects.window("m1"), "window.m1"),
        (subjects.clock(7), "clock.7"),
    ],
)
def test_results_and_ticks_go_where_the_semantics_say(subject: str, expected: str) -> None:
    """A result on another subject reaches nobody."""
    assert expected == subject


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: subjects.bid("m.1", "a1"), "market 'm.1': a name matches"),
        (lambda: subjects.bid("m1", "a\n"), r"agent 'a\\n': a name matches"),
        (lambda: subjects.bid("m1", "treasury"), "agent 'treasury': it is the market's own"),
        (lambda: subjects.transfer("m1", "house"), "agent 'house': it is the market's own"),
        (lambda: subjects.transfer("", "a1"), "market '': a name matches"),
        (lambda: subjects.grant("*"), r"market '\*': a name matches"),
        (lambda: subjects.market("M1"), "market 'M1': a name matches"),
        (lambda: subjects.price("m1", ">"), "resource '>': a name matches"),
        (lambda: subjects.price("m 1", "gpu"), "market 'm 1': a name matches"),
        (lambda: subjects.result("m1", "house"), "agent 'house': it is the market's own"),
        (lambda: subjects.result("m" * 65, "a1"), "market 'm{65}': a name matches"),
        (lambda: subjects.window("m1."), "market 'm1.': a name matches"),
        (lambda: subjects.meter("M1", 0), "market 'M1': a name matches"),
        (lambda: subjects.meter("m1", 64), "meter 64: a market has at most 64"),
        (lambda: subjects.meter("m1", -1), "meter -1: a market has at most 64"),
        (lambda: subjects.clock(-1), "shard -1: shards are counted from 0"),
    ],
)
def test_no_subject_is_built_from_a_wrong_name(build: Callable[[], str], hint: str) -> None:
    """A wildcard built into a subject would speak for every agent at once."""
    with pytest.raises(ValueError, match=hint):
        build()


def test_every_command_belongs_on_one_kind_of_subject() -> None:
    """A type allowed on two subjects, or on none, would let an agent act as the operator."""
    placed = sorted(event for types in subjects.TYPES_ON.values() for event in types)
    assert sorted(COMMANDS | METER_EVENTS) == placed


def test_each_kind_of_subject_carries_the_types_of_the_semantics() -> None:
    """A grant accepted on an agent's own subject would print money."""
    assert {
        "bid": {"bid_placed", "bid_withdrawn"},
        "transfer": {"credits_transferred"},
        "grant": {"credits_granted"},
        "market": {"market_opened", "market_closed", "supply_changed"},
        "price": {"price_quoted"},
        "meter": {"meter_opened", "units_held", "units_settled"},
        "clock": set(),
    } == subjects.TYPES_ON
