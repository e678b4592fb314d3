"""The market manager: from closed windows to the quotes of the next ones.

A flow of its own beside allocation, which never waits for it: without it the market clears at
the last known prices. Everything is handed in, so that the same route runs on the live windows and
in a test without any server. Items are `(market, value)` pairs.
"""

from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import Sink

from operators.keyed import KeyedStep
from operators.quote import PastOf, PlanOf, QuotedOf, QuotePrices
from state.window import OutboundMessage
from walras_schemas import MarketWindow


def build(
    *,
    source: FixedPartitionedSource[tuple[str, MarketWindow], Any],
    plan_of: PlanOf,
    past_of: PastOf,
    quoted_of: QuotedOf,
    publish: Sink[tuple[str, OutboundMessage]],
) -> Dataflow:
    """The dataflow over the windows of all markets.

    `plan_of` reads the operator's choice of controllers when a window comes, `past_of` the past
    windows that these need, `quoted_of` the latest quotes in the log; `publish` adds new ones.
    """
    flow = Dataflow("pricing")
    windows = op.input("windows_in", flow, source)  # MarketWindow
    quotes = op.stateful_batch(
        "quote",
        windows,
        lambda _resume: KeyedStep(lambda _first: QuotePrices(plan_of, past_of, quoted_of)),
    )  # OutboundMessage
    op.output("publish", quotes, publish)
    return flow
