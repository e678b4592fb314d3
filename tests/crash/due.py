"""What a ledger says should have been published, from its rows and by no code that publishes.

Promise: each message once, in the order in which it is due, in the form of the wire (SEMANTICS §7).
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import Connection

Content = dict[str, Any]
"""A message as JSON has it."""
ResultKey = tuple[int, str, str]
"""Window, market and agent."""

FETCH_ROWS: Final = 2_000
MS_PER_S: Final = 1000

_WINDOWS: Final = """
    SELECT w.window_id, s.window_ms, to_jsonb(m) || jsonb_build_object(
        'type', 'market_window', 'version', 2, 'window_ms', s.window_ms, 'next_seq', w.next_seq,
        'digest', encode(w.digest, 'hex'), 'prices', of_window.prices
    )
    FROM ledger.market_window AS m
    JOIN ledger."window" AS w USING (shard, window_id)
    JOIN ledger.shard AS s USING (shard)
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(to_jsonb(p) - 'market' - 'window_id' ORDER BY resource) AS prices
        FROM ledger.price AS p WHERE p.market = m.market AND p.window_id = m.window_id
    ) AS of_window
    ORDER BY shard, window_id, market
"""
# A balance is the sum of what moved up to the window: nothing moves without a command or a credit.
_RESULTS: Final = """
    WITH outcome AS (
        SELECT b.shard, b.window_id, a.market, a.agent_id, b.seq, b.ord, jsonb_build_object(
            'event_id', b.event_id, 'seq', b.seq, 'ord', b.ord, 'paid_micros', b.paid_micros,
            'status', ledger.status_text(b.status), 'reason', ledger.reason_text(b.reason),
            'won', CASE
                WHEN b.won = 0 THEN '{}'::jsonb
                WHEN b.resource < 0 THEN p.bundle
                ELSE jsonb_build_object(r.name, b.won)
            END
        ) AS content
        FROM ledger.bid AS b
        JOIN ledger.account AS a USING (shard, account)
        LEFT JOIN ledger.resource_name AS r USING (shard, resource)
        LEFT JOIN ledger.bid_bundle AS p USING (shard, seq, ord)
        UNION ALL
        SELECT shard, window_id, market, agent_id, seq, ord, jsonb_build_object(
            'event_id', event_id, 'seq', seq, 'ord', ord, 'type', type, 'purpose', purpose,
            'status', CASE reason WHEN 0 THEN 'applied' ELSE 'rejected' END,
            'reason', ledger.reason_text(reason)
        )
        FROM ledger.command WHERE agent_id <> 'treasury'
    ),
    credit AS (
        SELECT shard, window_id, market, recipient AS agent_id, seq, ord, jsonb_build_object(
            'seq', seq, 'ord', ord, 'from_agent_id', agent_id, 'amount_micros', amount_micros,
            'kind', CASE type WHEN 'credits_granted' THEN 'grant' ELSE 'transfer' END,
            'purpose', purpose
        ) AS content
        FROM ledger.command WHERE recipient IS NOT NULL AND reason = 0
    ),
    concerned AS (
        SELECT
            shard, window_id, market, agent_id,
            jsonb_agg(content ORDER BY seq, ord) FILTER (WHERE is_outcome) AS outcomes,
            jsonb_agg(content ORDER BY seq, ord) FILTER (WHERE NOT is_outcome) AS credits
        FROM (
            SELECT *, true AS is_outcome FROM outcome
            UNION ALL SELECT *, false FROM credit
        ) AS either
        GROUP BY shard, window_id, market, agent_id
    ),
    moved AS (
        SELECT window_id, market, agent_id, sum(amount_micros) AS micros
        FROM walras.transactions GROUP BY window_id, market, agent_id
    )
    SELECT window_id, market, agent_id, jsonb_strip_nulls(jsonb_build_object(
        'type', 'agent_result', 'version', 2, 'market', market, 'agent_id', agent_id,
        'shard', shard, 'window_id', window_id, 'complete', true,
        'balance_micros', sum(coalesce(micros, 0)) OVER (
            PARTITION BY market, agent_id ORDER BY window_id
        ),
        'outcomes', coalesce(outcomes, '[]'::jsonb), 'credits', coalesce(credits, '[]'::jsonb)
    ))
    FROM concerned LEFT JOIN moved USING (window_id, market, agent_id)
"""


def due_windows(ledger: Connection) -> Iterator[tuple[str, Content]]:
    """The id and the content of every message of `WINDOWS`, in order."""
    for window_id, window_ms, content in _rows(ledger, _WINDOWS):
        msg_id = f"{content['shard']}:{window_id}:{content['market']}"
        yield msg_id, content | {"closed_at": _time_text((window_id + 1) * window_ms)}


def due_results(ledger: Connection) -> Iterator[tuple[ResultKey, Content]]:
    """Every result that an agent could have received, in no order."""
    for *key, content in _rows(ledger, _RESULTS):
        window_id, market, agent = key
        yield (window_id, market, agent), content


def _rows(ledger: Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a query that may have more than fit into memory."""
    with ledger.transaction(), ledger.cursor("due") as rows:
        rows.itersize = FETCH_ROWS
        yield from rows.execute(query.encode())


def _time_text(at_ms: int) -> str:
    """RFC 3339 with as many fractional digits as it needs."""
    whole_s, rest_ms = divmod(at_ms, MS_PER_S)
    fraction = f".{rest_ms:03}".rstrip("0") if rest_ms else ""
    return f"{datetime.fromtimestamp(whole_s, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
