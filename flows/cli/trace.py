"""The life of one bid on the command line: in words for people, as JSON for programs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from cyclopts import Parameter

from flows.cli.console import print_data, print_json, start
from flows.cli.output import AS_TABLE, Output, show
from flows.cli.tables import Sheet
from flows.runtime.logging import printable
from state.errors import SettingsError

if TYPE_CHECKING:
    from flows.queries.life import Life, Step

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000
UUID_VERSION: Final = 7
STEP_COLUMNS: Final = ("event_id", "market", "agent_id", "step", "time", "time_ns", "source")
MEANING: Final = {
    "made": "the agent made the event id, by its own clock",
    "published": "NATS stored the message",
    "judged": "the flow judged it, in the stream's time",
    "window closed": "NATS stored the first message of a later window",
    "committed": "Postgres wrote its window",
    "result": "the window of its market was published, behind the agent's live result",
}


def trace(
    event_id: Annotated[str, Parameter(help="Event id of a bid.")],
    /,
    *,
    output: Output = AS_TABLE,
) -> int:
    from flows.queries.life import lives_of
    from flows.runtime.deployment import for_reading
    from flows.runtime.servers import open_servers

    form, wanted = output.form, _event_id(event_id)
    with open_servers(for_reading(start())) as servers:
        lives = lives_of(wanted, nats_url=servers.nats_url, postgres_dsn=servers.postgres_dsn)
    if not lives:
        raise SettingsError(
            "there is no such bid in the ledger",
            detail=f"no committed window has a bid with event id {wanted}",
            hint="A bid appears when its window has closed; `walras bids MARKET` lists event ids",
        )
    if form == "json":
        print_json([_record(life) for life in lives])
    elif form != "table":
        show(Sheet(STEP_COLUMNS, (row for life in lives for row in _step_rows(life))), form)
    else:
        print_data("\n\n".join("\n".join(map(printable, _lines(life))) for life in lives))
    return 0


def _event_id(text: str) -> UUID:
    try:
        found = UUID(text)
    except ValueError:
        found = UUID(int=0)
    if found.version != UUID_VERSION:
        raise SettingsError(
            "that is not an event id",
            detail=f"{text!r} is not a UUID of version 7",
            hint="`walras bids MARKET` lists the event ids of bids",
        )
    return found


def _lines(life: "Life") -> Iterator[str]:
    from flows.cli.amounts import credits_text

    bid = life.bid
    yield f"bid {bid.event_id} of {bid.agent_id} in market {bid.market}"
    yield f"  asked {_units(bid.bundle)} for at most {credits_text(bid.limit_micros)} credits"
    yield f"  {_outcome(life)}"
    if life.rank:
        yield f"  rank {life.rank.rank} of {life.rank.bids} bids in window {bid.window_id}"
    for price in life.prices:
        cleared = price.clearing_micros
        shown = "nothing sold" if cleared is None else f"cleared at {credits_text(cleared)}"
        yield (
            f"  {price.resource}: {shown}, reference {credits_text(price.reference_micros)}, "
            f"reserve {credits_text(price.reserve_micros)} credits per unit; "
            f"sold {price.sold:,} of {price.supply:,}"
        )
    yield f"  shard {bid.shard}, sequence {bid.seq}, position {bid.ord} in its message"
    if life.trace_id:
        yield f"  trace {life.trace_id}"
    yield ""
    first_ns = life.steps[0].at_ns
    for step in life.steps:
        after_ms = (step.at_ns - first_ns) / NS_PER_MS
        yield f"  {_time(step.at_ns)} {after_ms:>+12,.3f} ms  {step.name:<14}{MEANING[step.name]}"


def _outcome(life: "Life") -> str:
    from flows.cli.amounts import credits_text

    bid = life.bid
    if bid.status == "rejected":
        return f"rejected: {bid.reason}"
    if not bid.won:
        return bid.status
    paid = credits_text(bid.paid_micros)
    return f"{bid.status.replace('_', ' ')}: {_units(bid.allocation)} for {paid} credits"


def _units(bundle: Any) -> str:
    return ", ".join(f"{units:,} {resource}" for resource, units in sorted(bundle.items()))


def _time(at_ns: int) -> str:
    """A time of day in UTC, to the microsecond."""
    at = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ns % NS_PER_S // 1000:06}"


def _step(step: "Step") -> dict[str, Any]:
    at = datetime.fromtimestamp(step.at_ns // NS_PER_S, UTC)
    time = f"{at:%Y-%m-%dT%H:%M:%S}.{step.at_ns % NS_PER_S:09}Z"
    return {"step": step.name, "time": time, "time_ns": step.at_ns, "source": step.source}


def _step_rows(life: "Life") -> Iterator[tuple[Any, ...]]:
    bid = life.bid
    for step in life.steps:
        yield bid.event_id, bid.market, bid.agent_id, *_step(step).values()


def _record(life: "Life") -> dict[str, Any]:
    bid = life.bid
    return {
        "event_id": bid.event_id,
        "market": bid.market,
        "agent_id": bid.agent_id,
        "shard": bid.shard,
        "seq": bid.seq,
        "ord": bid.ord,
        "window_id": bid.window_id,
        "bundle": bid.bundle,
        "limit_micros": bid.limit_micros,
        "status": bid.status,
        "reason": bid.reason,
        "won": bid.allocation,
        "paid_micros": bid.paid_micros,
        "rank": life.rank.rank if life.rank else None,
        "ranked_bids": life.rank.bids if life.rank else None,
        "prices": [price._asdict() for price in life.prices],
        "digest": bid.digest,
        "trace_id": life.trace_id,
        "traceparent": life.traceparent,
        "steps": [_step(step) for step in life.steps],
    }
