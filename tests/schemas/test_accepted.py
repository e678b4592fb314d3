"""What the registry accepts: the examples of the semantics, every edge, every optional field."""

import json
from typing import Final

import pytest
from pydantic import BaseModel, ValidationError

from tests.schemas.examples import COMMAND, EVENT_ID, WIRE, example, refusals, without
from walras_schemas import (
    AMOUNT_MAX,
    BUNDLE_MAX,
    COMMANDS,
    INT64_MAX,
    METER_EVENTS,
    QUANTITY_MAX,
    CommandBase,
    CreditsGranted,
    MarketOpened,
    ResourceRules,
)
from walras_schemas.names import (
    COMMANDS_MAX,
    LAG_MIN,
    METERS_MAX,
    PURPOSE_MAX,
    RESOURCES_MAX,
    WINDOWS_MAX,
)


@pytest.mark.parametrize("name", WIRE)
def test_the_examples_of_the_semantics_read_as_they_are_written(name: str) -> None:
    """A registry stricter than the published page would turn honest commands into dead letters."""
    read = COMMAND.validate_json(WIRE[name])
    unsaid = {"lag_windows": 600, "meters": 1} if name == "market" else {}
    assert json.loads(WIRE[name]) | {"version": 1} | unsaid == read.model_dump()


@pytest.mark.parametrize("name", WIRE)
def test_what_is_built_here_can_be_read_there(name: str) -> None:
    """An agent that sends its own model's JSON must not be malformed: absent is never null."""
    built = COMMAND.validate_json(WIRE[name])
    assert built == COMMAND.validate_json(built.model_dump_json())


@pytest.mark.parametrize("name", WIRE)
def test_each_command_is_read_by_the_model_of_its_type(name: str) -> None:
    """A type bound to another command's model would move other credits than were meant."""
    models = COMMANDS | METER_EVENTS
    assert models[example(name)["type"]] is type(COMMAND.validate_json(WIRE[name]))


EDGES: Final = [
    ("unit bid", "quantity", 1, QUANTITY_MAX),
    ("unit bid", "unit_price_micros", 1, AMOUNT_MAX),
    ("unit bid", "min_quantity", 1, 500),
    ("bundle", "bundle", {"tokens": 1}, {f"r{n}": QUANTITY_MAX for n in range(BUNDLE_MAX)}),
    ("bundle", "limit_micros", 1, AMOUNT_MAX),
    ("transfer", "amount_micros", 1, AMOUNT_MAX),
    ("transfer", "purpose", "", "ü" * 200),
    ("grant", "amount_micros", 1, AMOUNT_MAX),
    ("grant", "purpose", "", "ü" * PURPOSE_MAX),
    ("market", "max_commands", 1, COMMANDS_MAX),
    ("market", "lag_windows", LAG_MIN, WINDOWS_MAX),
    ("market", "meters", 1, METERS_MAX),
    ("market", "stale_after_windows", 0, INT64_MAX),
    ("supply", "supply", 0, QUANTITY_MAX),
    ("price", "price_micros", 1, AMOUNT_MAX),
    ("meter", "epoch", 1, INT64_MAX),
    ("hold", "epoch", 1, INT64_MAX),
    ("hold", "n", 1, INT64_MAX),
    ("hold", "quantity", 1, QUANTITY_MAX),
    ("hold", "window_id", 0, INT64_MAX),
    ("settlement", "epoch", 1, INT64_MAX),
    ("settlement", "n", 1, INT64_MAX),
    ("settlement", "used", 0, QUANTITY_MAX),
]


@pytest.mark.parametrize(("name", "field", "low", "high"), EDGES)
def test_both_edges_of_a_range_belong_to_it(
    name: str, field: str, low: object, high: object
) -> None:
    """An edge off by one refuses the smallest bid, or the largest."""
    accepted = [
        COMMAND.validate_python(example(name, **{field: edge})).model_dump()[field]
        for edge in (low, high)
    ]
    assert [low, high] == accepted


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"supply": 0, "initial_price_micros": 1}, (0, 1, 0, 0, 0)),
        (
            {
                "supply": QUANTITY_MAX,
                "initial_price_micros": AMOUNT_MAX,
                "reserve_micros": AMOUNT_MAX,
                "reserve_ratio_ppm": 10**9,
                "allowance_windows": WINDOWS_MAX,
            },
            (QUANTITY_MAX, AMOUNT_MAX, AMOUNT_MAX, 10**9, WINDOWS_MAX),
        ),
    ],
)
def test_the_rules_of_a_resource_reach_from_nothing_to_the_limits(
    rules: dict[str, int], expected: tuple[int, ...]
) -> None:
    """A supply of zero closes a resource, and a reserve may be zero: neither is an error."""
    market = COMMAND.validate_python(example("market", resources={"tokens": rules}))
    assert isinstance(market, MarketOpened)
    assert expected == tuple(market.resources["tokens"].model_dump().values())


def test_a_market_lists_as_many_resources_as_the_semantics_say() -> None:
    """A deployment that offers a model per resource needs all of them, and no more fit."""
    most = {f"r{n}": {"supply": 1, "initial_price_micros": 1} for n in range(RESOURCES_MAX)}
    assert 256 == len(most)
    assert not refusals(example("market", resources=most))
    assert refusals(example("market", resources={**most, "r": most["r0"]}))


def test_left_out_fields_take_their_defaults() -> None:
    """A default that drifts from the semantics would clear a market by another rule."""
    market = COMMAND.validate_python(
        without("market", "rule", "stale_after_windows", "max_commands")
    )
    assert isinstance(market, MarketOpened)
    expected = {"version": 1, "rule": "uniform", "stale_after_windows": 60}
    expected |= {"max_commands": 1000, "lag_windows": 600, "meters": 1}
    expected |= {"timestamp": None, "scenario_id": None}
    assert expected == {field: getattr(market, field) for field in expected}


@pytest.mark.parametrize("rule", ["uniform", "uniform_lab", "pay_as_bid", "vickrey"])
def test_a_market_may_choose_each_of_the_four_rules(rule: str) -> None:
    """A rule missing in the registry could never be opened."""
    assert not refusals(example("market", rule=rule))


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-01-31T23:59:59Z",
        "2026-01-31t00:00:00z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T12:00:00.123456789+05:30",
        "2026-01-31T12:00:00.1-23:59",
    ],
)
def test_a_sender_may_write_its_time_in_any_form_of_the_rfc(timestamp: str) -> None:
    """The time is only informational: refusing a legal form would lose a bid for nothing."""
    assert not refusals(example("price", timestamp=timestamp, scenario_id="s-1", version=1))


@pytest.mark.parametrize("name", ["0", "a-_9", "z" * 64])
def test_the_shortest_and_longest_names_are_names(name: str) -> None:
    """A length off by one would shut an agent out under its own name."""
    assert not refusals(example("grant", agent_id=name))


@pytest.mark.parametrize("name", ["treasury", "house"])
def test_only_agents_may_not_carry_a_reserved_name(name: str) -> None:
    """The reserved names are accounts: a resource of that name is nobody's money."""
    assert not refusals(example("supply", resource=name))


def test_an_event_id_stays_as_it_was_written() -> None:
    """An id that the registry rewrote would not be the id its sender waits for."""
    read = COMMAND.validate_python(example("price", event_id=EVENT_ID.upper()))
    expected = EVENT_ID.upper()
    assert isinstance(read, CommandBase)
    assert expected == read.event_id


def test_in_python_the_type_may_be_left_out() -> None:
    """An agent names the model already; the wire still gets the type."""
    built = CreditsGranted(event_id=EVENT_ID, agent_id="a1", amount_micros=1)
    expected = {"version": 1, "type": "credits_granted"}
    expected |= {"event_id": EVENT_ID, "agent_id": "a1", "amount_micros": 1}
    assert expected == json.loads(built.model_dump_json())


@pytest.mark.parametrize(
    ("built", "field"),
    [
        (COMMAND.validate_json(WIRE["unit bid"]), "quantity"),
        (COMMAND.validate_json(WIRE["market"]), "rule"),
        (ResourceRules(supply=1, initial_price_micros=1), "supply"),
    ],
)
def test_a_command_cannot_be_changed(built: BaseModel, field: str) -> None:
    """What was judged must stay what was sent."""
    with pytest.raises(ValidationError, match="frozen"):
        setattr(built, field, 1)
