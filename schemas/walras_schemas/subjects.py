"""The public subjects of a market: who speaks, in which market, about what.

A subject is the only witness of its market and its agent. Whatever a builder returns, `parse` reads
back; whatever is not a well-formed subject of a log, `parse` answers with None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from walras_schemas.names import (
    METERS_MAX,
    NAME_PATTERN,
    RESERVED_ACCOUNTS,
    is_agent_name,
    is_name,
)

Kind = Literal["bid", "transfer", "grant", "market", "price", "meter", "clock"]

TYPES_ON: Final[Mapping[Kind, frozenset[str]]] = {
    "bid": frozenset({"bid_placed", "bid_withdrawn"}),
    "transfer": frozenset({"credits_transferred"}),
    "grant": frozenset({"credits_granted"}),
    "market": frozenset({"market_opened", "market_closed", "supply_changed"}),
    "price": frozenset({"price_quoted"}),
    "meter": frozenset({"meter_opened", "units_held", "units_settled"}),
    "clock": frozenset(),
}

_METERS: Final = {str(number): number for number in range(METERS_MAX)}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a subject says; None where its kind says nothing."""

    kind: Kind
    market: str | None = None
    agent: str | None = None
    resource: str | None = None
    meter: int | None = None


def parse(subject: str) -> Subject | None:
    """Read a subject of the log; None when it is none."""
    match subject.split("."):
        case ["clock", shard] if shard:
            return Subject("clock")
        case ["market", market, *rest] if is_name(market):
            return _parse_in_market(market, rest)
        case _:
            return None


def _parse_in_market(market: str, rest: list[str]) -> Subject | None:
    match rest:
        case ["bid" | "transfer" as kind, agent] if is_agent_name(agent):
            return Subject(kind, market, agent=agent)
        case ["grant" | "market" as kind]:
            return Subject(kind, market)
        case ["price", resource] if is_name(resource):
            return Subject("price", market, resource=resource)
        case ["meter", number] if number in _METERS:
            return Subject("meter", market, meter=_METERS[number])
        case _:
            return None


def bid(market: str, agent: str) -> str:
    """Where an agent places and withdraws its bids."""
    return f"market.{_name('market', market)}.bid.{_agent(agent)}"


def transfer(market: str, agent: str) -> str:
    """Where an agent gives credits away."""
    return f"market.{_name('market', market)}.transfer.{_agent(agent)}"


def grant(market: str) -> str:
    """Where the operator grants credits."""
    return f"market.{_name('market', market)}.grant"


def market(market: str) -> str:
    """Where the operator opens and closes a market and changes its supply."""
    return f"market.{_name('market', market)}.market"


def price(market: str, resource: str) -> str:
    """Where the pricing flow quotes a resource."""
    return f"market.{_name('market', market)}.price.{_name('resource', resource)}"


def meter(market: str, number: int) -> str:
    """Where the proxy that runs a meter holds and settles."""
    if not 0 <= number < METERS_MAX:
        raise ValueError(
            f"no subject for meter {number}: a market has at most {METERS_MAX} of them"
        )
    return f"market.{_name('market', market)}.meter.{number}"


def clock(shard: int) -> str:
    """Where the ticks of a shard arrive."""
    if shard < 0:
        raise ValueError(f"no subject for shard {shard}: shards are counted from 0")
    return f"clock.{shard}"


def result(market: str, agent: str) -> str:
    """Where an agent learns its outcomes, once per window."""
    return f"result.{_name('market', market)}.{_agent(agent)}"


def window(market: str) -> str:
    """Where everyone learns the prices of a closed window."""
    return f"window.{_name('market', market)}"


def _name(role: str, name: str) -> str:
    if not is_name(name):
        raise ValueError(f"no subject for {role} {name!r}: a name matches {NAME_PATTERN}")
    return name


def _agent(name: str) -> str:
    if name in RESERVED_ACCOUNTS:
        raise ValueError(f"no subject for agent {name!r}: it is the market's own, take another")
    return _name("agent", name)
