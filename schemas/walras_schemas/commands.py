"""The commands that agents and operators put into the log of a market.

Each is one flat JSON object. What a model here refuses is `malformed`: it becomes a dead letter and
moves no credit. What arrives is read as `Command`, which picks the model by `type`. Two things only
the decoder can see before a model does: duplicate keys, and bytes that are not UTF-8.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Protocol, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from walras_schemas.names import (
    BUNDLE_MAX,
    RESOURCES_MAX,
    AgentName,
    AllowanceWindows,
    Amount,
    Count,
    EventId,
    LagWindows,
    MaxCommands,
    Meters,
    Name,
    Price,
    Purpose,
    Quantity,
    RatioPpm,
    Reserve,
    Supply,
    Timestamp,
)
from walras_schemas.wire import ByName, Message, OrAbsent, WireObject, state_wire

Rule = Literal["uniform", "uniform_lab", "pay_as_bid", "vickrey"]
Bundle = Annotated[dict[Name, Quantity], Field(min_length=1, max_length=BUNDLE_MAX), ByName()]

UNIT_BID_FORM: Final = {
    "title": "Unit bid",
    "description": "Divisible down to min_quantity, which is at most quantity.",
    "required": ["resource", "quantity", "unit_price_micros"],
    "properties": {"bundle": False, "limit_micros": False, "min_quantity": {"default": 1}},
}
BUNDLE_FORM: Final = {
    "title": "Bundle",
    "description": "All or nothing.",
    "required": ["bundle", "limit_micros"],
    "properties": {
        "resource": False,
        "quantity": False,
        "unit_price_micros": False,
        "min_quantity": False,
    },
}


def state_bid_forms(schema: dict[str, Any]) -> None:
    """State in the JSON Schema of a bid that it has one of two forms, as far as a schema can."""
    state_wire(schema)
    schema["oneOf"] = [UNIT_BID_FORM, BUNDLE_FORM]


class BidForm(Protocol):
    """The fields that decide the form of a bid; None where the bid does not have the field."""

    @property
    def resource(self) -> str | None: ...
    @property
    def quantity(self) -> int | None: ...
    @property
    def unit_price_micros(self) -> int | None: ...
    @property
    def min_quantity(self) -> int | None: ...
    @property
    def bundle(self) -> Mapping[str, int] | None: ...
    @property
    def limit_micros(self) -> int | None: ...


def bid_form_error(bid: BidForm) -> str | None:
    """Say why a bid is neither a unit bid nor a bundle; None when it is exactly one of them."""
    if bid.bundle is None and bid.limit_micros is None:
        return _unit_bid_error(bid)
    unit = (bid.resource, bid.quantity, bid.unit_price_micros, bid.min_quantity)
    if unit != (None, None, None, None):
        return "a bid is a unit bid or a bundle, never fields of both"
    if bid.bundle is None or bid.limit_micros is None:
        return "a bundle needs bundle and limit_micros"
    return None


def _unit_bid_error(bid: BidForm) -> str | None:
    if bid.resource is None or bid.quantity is None or bid.unit_price_micros is None:
        return "a bid needs resource, quantity and unit_price_micros, or bundle and limit_micros"
    if bid.min_quantity is not None and bid.min_quantity > bid.quantity:
        return f"min_quantity {bid.min_quantity} is above quantity {bid.quantity}"
    return None


class LogMessage(Message):
    """What every event of a log may have: what its sender wants remembered with it."""

    timestamp: OrAbsent[Timestamp] = None
    scenario_id: OrAbsent[Name] = None

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = serialize(self)
        return {name: value for name, value in fields.items() if value is not None}


class CommandBase(LogMessage):
    """What every command has: its own id."""

    event_id: EventId


class BidPlaced(CommandBase):
    """An agent bids in the open window: for units of one resource, or for a bundle as a whole."""

    model_config = ConfigDict(json_schema_extra=state_bid_forms)

    type: Literal["bid_placed"] = "bid_placed"
    resource: OrAbsent[Name] = None
    quantity: OrAbsent[Quantity] = None
    unit_price_micros: OrAbsent[Price] = None
    min_quantity: OrAbsent[Quantity] = None
    bundle: OrAbsent[Bundle] = None
    limit_micros: OrAbsent[Amount] = None

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        error = bid_form_error(self)
        if error is not None:
            raise ValueError(error)
        if self.bundle is None and self.min_quantity is None:
            # The default belongs to the unit form alone, so no field default can say it.
            object.__setattr__(self, "min_quantity", 1)
        return self


class BidWithdrawn(CommandBase):
    """An agent takes back its own bid while the bid's window is open."""

    type: Literal["bid_withdrawn"] = "bid_withdrawn"
    bid_event_id: EventId


class CreditsTransferred(CommandBase):
    """An agent gives some of its free credits to another agent."""

    type: Literal["credits_transferred"] = "credits_transferred"
    to_agent_id: AgentName
    amount_micros: Amount
    purpose: OrAbsent[Purpose] = None


class CreditsGranted(CommandBase):
    """The operator gives an agent credits from the treasury."""

    type: Literal["credits_granted"] = "credits_granted"
    agent_id: AgentName
    amount_micros: Amount
    purpose: OrAbsent[Purpose] = None


class ResourceRules(WireObject):
    """What one resource of a market starts with: its supply, first price and reserve."""

    supply: Supply
    initial_price_micros: Price
    reserve_micros: Reserve = 0
    reserve_ratio_ppm: RatioPpm = 0
    allowance_windows: AllowanceWindows = 0
    """How many windows after the one in which they were won units may be spent; 0: not metered."""


class MarketOpened(CommandBase):
    """The operator opens a market, or replaces its rule and resources."""

    type: Literal["market_opened"] = "market_opened"
    rule: Rule = "uniform"
    stale_after_windows: Count = 60
    max_commands: MaxCommands = 1000
    """How many commands each agent may send in a window."""
    lag_windows: LagWindows = 600
    meters: Meters = 1
    resources: Annotated[
        dict[Name, ResourceRules], Field(min_length=1, max_length=RESOURCES_MAX), ByName()
    ]


class MarketClosed(CommandBase):
    """The operator closes a market from the next window on; an opening opens it again."""

    type: Literal["market_closed"] = "market_closed"


class SupplyChanged(CommandBase):
    """The operator sets how much of a resource each later window offers."""

    type: Literal["supply_changed"] = "supply_changed"
    resource: Name
    supply: Supply


class PriceQuoted(CommandBase):
    """The pricing flow quotes the reference price of the resource that its subject names."""

    type: Literal["price_quoted"] = "price_quoted"
    price_micros: Price


Command = Annotated[
    BidPlaced
    | BidWithdrawn
    | CreditsTransferred
    | CreditsGranted
    | MarketOpened
    | MarketClosed
    | SupplyChanged
    | PriceQuoted,
    Field(discriminator="type"),
]

COMMANDS: Final[dict[str, type[CommandBase]]] = {
    "bid_placed": BidPlaced,
    "bid_withdrawn": BidWithdrawn,
    "credits_transferred": CreditsTransferred,
    "credits_granted": CreditsGranted,
    "market_opened": MarketOpened,
    "market_closed": MarketClosed,
    "supply_changed": SupplyChanged,
    "price_quoted": PriceQuoted,
}
