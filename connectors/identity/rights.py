"""What each role may do on the broker, and no more: the one table of rights.

Promise: a role names subjects of the house; whatever it does not name, its account does not reach.
`*` in the place of a market stands for every market.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from connectors.identity.claims import Right

OfficeRole = Literal["operator", "proxy", "runner", "reader"]
"""Roles of a deployment that are no agents; each has an account of its own."""

EVERY: Final = "*"

EXPORTS: Final = (
    Right("service", "market.*.bid.*"),
    Right("service", "market.*.transfer.*"),
    Right("service", "market.*.grant"),
    Right("service", "market.*.market"),
    Right("service", "market.*.meter.*"),
    Right("service", "query.balance.*.*"),
    Right("service", "query.history.*.*"),
    Right("service", "query.prices.*"),
    Right("stream", "result.*.*"),
    Right("stream", "window.*"),
)
"""All that the house's account offers; each use needs a token of the house for that account."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """The subjects that a user may publish to and subscribe to; None is no restriction."""

    publish: tuple[str, ...] | None
    subscribe: tuple[str, ...] | None


def agent_rights(agent: str, market: str) -> tuple[Right, ...]:
    """Bid and transfer under its own name, hear its own results, ask about itself and prices."""
    return (
        Right("service", f"market.{market}.bid.{agent}"),
        Right("service", f"market.{market}.transfer.{agent}"),
        Right("service", f"query.balance.{market}.{agent}"),
        Right("service", f"query.history.{market}.{agent}"),
        *_public_rights(market),
        Right("stream", f"result.{market}.{agent}"),
    )


def _public_rights(market: str) -> tuple[Right, ...]:
    return (Right("service", f"query.prices.{market}"), Right("stream", f"window.{market}"))


def _operator_rights(market: str) -> tuple[Right, ...]:
    commands = (
        Right("service", f"market.{market}.grant"),
        Right("service", f"market.{market}.market"),
    )
    return (*commands, *_public_rights(market))


def _reader_rights(market: str) -> tuple[Right, ...]:
    return (
        Right("service", f"query.balance.{market}.*"),
        Right("service", f"query.history.{market}.*"),
        *_public_rights(market),
    )


def _runner_rights(market: str) -> tuple[Right, ...]:
    return (*_reader_rights(market), Right("stream", f"result.{market}.*"))


def _proxy_rights(market: str) -> tuple[Right, ...]:
    return (*_runner_rights(market), Right("service", f"market.{market}.meter.*"))


OFFICES: Final[dict[OfficeRole, Callable[[str], tuple[Right, ...]]]] = {
    "operator": _operator_rights,
    "proxy": _proxy_rights,
    "runner": _runner_rights,
    "reader": _reader_rights,
}

# Within the house permissions are checked on the subject behind the mapping.
PRICING: Final = Permissions(
    publish=(
        "shard.*.market.*.price.*",
        "$JS.API.STREAM.INFO.WINDOWS",
        "$JS.API.CONSUMER.*.WINDOWS.>",
        "$JS.API.CONSUMER.CREATE.WINDOWS",
        "$JS.API.CONSUMER.MSG.NEXT.WINDOWS.>",
        "$JS.API.DIRECT.GET.*.>",
        "$JS.API.STREAM.MSG.GET.*",
    ),
    subscribe=("_INBOX.pricing.>",),
)
"""It quotes prices and reads windows and quotes; it may neither bid nor grant nor settle."""

HOUSE: Final = Permissions(publish=None, subscribe=None)
"""The worker, the queries and whoever makes the streams."""


def permissions(rights: tuple[Right, ...], *, inbox: str, whole_account: bool) -> Permissions:
    """Of a user whose account has these rights, and maybe those of others.

    `whole_account`: nobody else is in the account, so any inbox is its own.
    """
    inboxes = (f"_INBOX.{inbox}.>", *(("_INBOX.>",) if whole_account else ()))
    return Permissions(
        publish=tuple(right.subject for right in rights if right.flow == "service"),
        subscribe=(*(right.subject for right in rights if right.flow == "stream"), *inboxes),
    )
