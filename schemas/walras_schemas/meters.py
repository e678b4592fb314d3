"""The events of a meter: how what was won is set aside for a call, and what became of it.

The proxy that runs a meter publishes them as one chain, each message behind the last one of the
subject, so they have no event id. What a model here refuses is `malformed`.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from walras_schemas.commands import Command, LogMessage
from walras_schemas.names import AgentName, Count, Name, PositiveCount, Quantity, Used

Outcome = Literal[
    "completed",
    "partial",
    "cancelled",
    "refused",
    "failed",
    "lost",
    "unmetered",
    "abandoned",
]
"""How a call ended; it changes nothing but the record."""


class MeterEvent(LogMessage):
    """What every event of a meter has: the epoch of the proxy that runs it, counted from 1."""

    epoch: PositiveCount


class MeterOpened(MeterEvent):
    """A proxy begins the meter's next epoch; open holds of the one before end as lost."""

    type: Literal["meter_opened"] = "meter_opened"


class UnitsHeld(MeterEvent):
    """Units that an agent won are set aside for one call."""

    type: Literal["units_held"] = "units_held"
    n: PositiveCount
    """1, 2, 3… within the epoch."""
    agent_id: AgentName
    resource: Name
    quantity: Quantity
    window_id: Count
    """The window by which the meter judges what has expired."""


class UnitsSettled(MeterEvent):
    """A hold ends with what was used; the rest returns to the lots it came from."""

    type: Literal["units_settled"] = "units_settled"
    n: PositiveCount
    used: Used
    """Units; what is above the hold is counted and drawn from no lot."""
    outcome: Outcome


METER_EVENTS: Final[dict[str, type[MeterEvent]]] = {
    "meter_opened": MeterOpened,
    "units_held": UnitsHeld,
    "units_settled": UnitsSettled,
}

LogEvent = Annotated[
    Command | MeterOpened | UnitsHeld | UnitsSettled,
    Field(discriminator="type"),
]
"""Everything that a log may hold but ticks."""
