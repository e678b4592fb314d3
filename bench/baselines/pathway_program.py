"""Baseline (d): the same market as a Pathway program, with its own NATS and Postgres connectors.

It runs in an environment of its own, gets its job as a line of JSON and ends when its input does;
who started it looks into the database meanwhile. Its NATS connector hands over payloads alone, so
that the agent of a bid, which is in the subject, is unknown: it checks and moves no balances.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

import pathway as pw

Asked = tuple[int, str, str, int, int]
"""Window, resource, event id, quantity, price."""
Outcome = tuple[str, int, str, int, int, str, int]


class BidRow(pw.Schema):  # type: ignore[misc]  # it comes in an environment of its own
    """A bid and its outcome, as the table has it."""

    event_id: str = pw.column_definition(primary_key=True)
    window_id: int
    resource: str
    quantity: int
    price: int
    status: str
    won: int


def main() -> None:
    job: dict[str, Any] = json.load(sys.stdin)
    window_ms, supply = int(job["window_ms"]), int(job["supply"])

    def asked(payload: bytes) -> list[Asked]:
        content = json.loads(payload)
        return [_asked(each, window_ms) for each in _listed(content)]

    def allocate(bids: Iterable[Asked]) -> list[Outcome]:
        return list(_allocate(bids, supply))

    messages = pw.io.nats.read(
        job["nats_url"], job["subjects"], format="raw", jetstream_stream_name=job["stream"]
    )
    bids = messages.select(bid=pw.apply_with_type(asked, list[Asked], pw.this.data))
    bids = bids.flatten(pw.this.bid).select(
        pw.this.bid, window_id=pw.this.bid[0], resource=pw.this.bid[1]
    )
    windows = bids.groupby(pw.this.window_id, pw.this.resource).reduce(
        bids=pw.reducers.tuple(pw.this.bid)
    )
    cleared = windows.select(row=pw.apply_with_type(allocate, list[Outcome], pw.this.bids))
    rows = cleared.flatten(pw.this.row)
    columns = {name: pw.this.row[place] for place, name in enumerate(BidRow.column_names())}
    table = rows.select(**columns)
    pw.io.postgres.write(
        table,
        job["postgres"],
        "bid",
        init_mode="create_if_not_exists",
        output_table_type="snapshot",
        primary_key=[table.event_id],
    )
    sys.stdout.write("running\n")
    sys.stdout.flush()
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


def _listed(content: Any) -> list[dict[str, Any]]:
    return content if isinstance(content, list) else [content]


def _asked(bid: dict[str, Any], window_ms: int) -> Asked:
    """The window is read off the event id, as the server's time of the message is unknown too."""
    time_ms = int(bid["event_id"].replace("-", "")[:12], 16)
    return (
        time_ms // window_ms,
        bid["resource"],
        bid["event_id"],
        bid["quantity"],
        bid["unit_price_micros"],
    )


def _allocate(bids: Iterable[Asked], supply: int) -> Iterable[Outcome]:
    left = supply
    for window_id, resource, event_id, quantity, price in sorted(bids, key=lambda bid: -bid[-1]):
        won = min(quantity, left)
        left -= won
        yield event_id, window_id, resource, quantity, price, "won" if won else "lost", won


if __name__ == "__main__":
    main()
