"""Every name that telemetry gives: spans, attributes, metrics. The reference page is made of this.

Spans follow OpenTelemetry's semantic conventions for messaging; NATS has no entry of its own in
them, and `nats` is a custom value of `messaging.system`, which they allow. What the market adds
begins with `walras.`. Durations are in seconds, amounts in micro-credits.
"""

from dataclasses import dataclass
from typing import Final, Literal

SCOPE: Final = "walras"
SERVICE: Final = "walras"

# Spans.
PROCESS: Final = "process market.*.bid.*"
ALLOCATE: Final = "allocate bid"
RESULT: Final = "send result.*.*"
WINDOW: Final = "window"
CLEAR: Final = "allocate window"
COMMIT: Final = "commit window"
PUBLISH: Final = "publish window"

# Attributes by the conventions for messaging.
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_TEMPLATE: Final = "messaging.destination.template"
MESSAGING_BATCH: Final = "messaging.batch.message_count"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
NATS: Final = "nats"

# Attributes of our own.
MARKET: Final = "walras.market"
AGENT: Final = "walras.agent"
EVENT_ID: Final = "walras.event_id"
SHARD: Final = "walras.shard"
SEQ: Final = "walras.seq"
ORD: Final = "walras.ord"
WINDOW_ID: Final = "walras.window.id"
DIGEST: Final = "walras.window.digest"
BIDS: Final = "walras.window.bids"
STATUS: Final = "walras.bid.status"
REASON: Final = "walras.bid.reason"
LIMIT: Final = "walras.bid.limit_micros"
PAID: Final = "walras.bid.paid_micros"
RANK: Final = "walras.bid.rank"
RANKED: Final = "walras.bid.ranked_bids"
ASKED: Final = "walras.bid.asked."
"""Followed by the resource: units."""
WON: Final = "walras.bid.won."
LEVEL: Final = "walras.price.clearing_micros."
REFERENCE: Final = "walras.price.reference_micros."
KEEP: Final = "walras.keep"
"""True on what a collector should keep whatever its share: refusals."""
WINDOW_TRACE: Final = "walras.window.trace_id"
WINDOW_SPAN: Final = "walras.window.span_id"
BID_TRACES: Final = "walras.bid.trace_ids"

# Attributes of metrics.
RESOURCE: Final = "walras.resource"
TYPE: Final = "walras.command.type"

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: how it is called, counted and labelled."""

    name: str
    kind: Kind
    unit: str
    """As UCUM has it; `{bid}` is a count of bids."""
    description: str
    labels: tuple[str, ...] = ()


WINDOWS: Final = Metric(
    "walras.windows", "counter", "{window}", "Windows with a row in the ledger", (SHARD,)
)
BIDS_JUDGED: Final = Metric(
    "walras.bids",
    "counter",
    "{bid}",
    "Bids of committed windows by outcome; the reason is empty unless rejected",
    (MARKET, STATUS, REASON),
)
COMMANDS: Final = Metric(
    "walras.commands",
    "counter",
    "{command}",
    "Commands that are no bids, by type and outcome; the reason is empty where applied",
    (MARKET, TYPE, REASON),
)
DEAD_LETTERS: Final = Metric(
    "walras.dead_letters", "counter", "{message}", "Messages that no decoder accepts", (SHARD,)
)
PAID_CREDITS: Final = Metric(
    "walras.paid", "counter", "{microcredit}", "Micro-credits that bids paid", (MARKET,)
)
CLEARING: Final = Metric(
    "walras.price.clearing",
    "gauge",
    "{microcredit}",
    "Clearing price per unit in the last window in which units were sold",
    (MARKET, RESOURCE),
)
REFERENCE_PRICE: Final = Metric(
    "walras.price.reference",
    "gauge",
    "{microcredit}",
    "Reference price per unit in force in the last window",
    (MARKET, RESOURCE),
)
SUPPLY: Final = Metric(
    "walras.supply", "gauge", "{unit}", "Units in force in the last window", (MARKET, RESOURCE)
)
DEMANDED: Final = Metric(
    "walras.demanded", "counter", "{unit}", "Units that admitted bids asked", (MARKET, RESOURCE)
)
SOLD: Final = Metric("walras.sold", "counter", "{unit}", "Units sold", (MARKET, RESOURCE))
DROPPED_MARKETS: Final = Metric(
    "walras.markets.unlabelled",
    "counter",
    "{market}",
    "Markets beyond the limit of labels, counted under the market `_other`",
)
LAG: Final = Metric(
    "walras.window.lag",
    "histogram",
    "s",
    "From the last message of a window to its publication, by the clocks of NATS and of the host",
    (SHARD,),
)
STEP: Final = Metric(
    "walras.step.duration",
    "histogram",
    "s",
    "How long a step worked on one window: allocate, commit, publish",
    (SHARD, "walras.step"),
)
BEHIND: Final = Metric(
    "walras.shard.behind",
    "gauge",
    "s",
    "How far the ledger is behind the log, in stream time",
    (SHARD,),
)
BEHIND_MESSAGES: Final = Metric(
    "walras.shard.behind_messages", "gauge", "{message}", "Messages not in the ledger yet", (SHARD,)
)
LOG_BYTES: Final = Metric("walras.log.size", "gauge", "By", "Size of the log of a shard", (SHARD,))
SAMPLED: Final = Metric(
    "walras.traces.sampled", "counter", "{message}", "Messages whose life became spans", (SHARD,)
)
UNTRACED: Final = Metric(
    "walras.traces.dropped",
    "counter",
    "{message}",
    "Sampled messages beyond what is kept at a time, of which no span was made",
    (SHARD,),
)

METRICS: Final = (
    WINDOWS,
    BIDS_JUDGED,
    COMMANDS,
    DEAD_LETTERS,
    PAID_CREDITS,
    CLEARING,
    REFERENCE_PRICE,
    SUPPLY,
    DEMANDED,
    SOLD,
    DROPPED_MARKETS,
    LAG,
    STEP,
    BEHIND,
    BEHIND_MESSAGES,
    LOG_BYTES,
    SAMPLED,
    UNTRACED,
)
SECONDS: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""Upper bounds of the buckets of durations: the ones of the SDK are meant for milliseconds."""


def prometheus_name(metric: Metric) -> str:
    """What the metric is called on `/metrics`, as the exporter translates it."""
    name = metric.name.replace(".", "_")
    units = {"s": "_seconds", "By": "_bytes"}
    suffix = units.get(metric.unit, "")
    return f"{name}{suffix}{'_total' if metric.kind == 'counter' else ''}"
