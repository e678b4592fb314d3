"""One bid through a real deployment: its spans, its log line, the metrics, all of one story."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, cast

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from connectors.embedded.servers import Servers
from otel import names
from otel.metrics import Metrics
from otel.setup import Options, Telemetry
from tests.client.deployment import Deployment, deployed
from tests.support.eventually import eventually
from tests.support.shell import shell
from walras_client import new_event_id
from walras_schemas import BidPlaced

WITHIN_S: Final = 30.0

Points = dict[tuple[Any, ...], float]
"""Labels to value."""


class Watched:
    """A deployment whose spans and metrics stay in this process."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.reader = InMemoryMetricReader()
        self.telemetry = Telemetry(
            Options(traces="otlp", trace_ratio=1.0, metrics="page"),
            Resource.create({}),
            Metrics(MeterProvider(metric_readers=[self.reader]).get_meter("test")),
            self.spans.append,
        )
        self.deployment: Deployment

    def of_trace(self, trace_id: int) -> dict[str, ReadableSpan]:
        found = [span for span in self.spans if _context(span).trace_id == trace_id]
        return {span.name: span for span in found}

    def points(self, metric: names.Metric) -> Points:
        """Labels to value."""
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            tuple((point.attributes or {})[label] for label in metric.labels): point.value
            for of_resource in data.resource_metrics
            for of_scope in of_resource.scope_metrics
            for each in of_scope.metrics
            if each.name == metric.name
            for point in each.data.data_points
            if isinstance(point, NumberDataPoint)
        }


def _context(span: ReadableSpan) -> trace.SpanContext:
    assert span.context is not None
    return cast("trace.SpanContext", span.context)


@pytest.fixture(scope="module")
def watched(servers: Servers) -> Iterator[Watched]:
    one = Watched()
    with deployed(servers, telemetry=one.telemetry) as one.deployment:
        yield one


@pytest.fixture(scope="module")
def agent_spans() -> InMemorySpanExporter:
    """What the agent's own process makes; a process has one provider for ever."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def bid(quantity: int, price: int) -> BidPlaced:
    return BidPlaced(
        event_id=new_event_id(), resource="tokens", quantity=quantity, unit_price_micros=price
    )


async def one_turn(deployment: Deployment, market: str, *bids: BidPlaced) -> int:
    """An agent's turn with these bids in one message; the id of its trace."""
    async with deployment.agent(market, "a1") as me:
        with trace.get_tracer("test").start_as_current_span("turn") as turn:
            await me.submit(bids)
        await me.outcome(bids[-1].event_id, WITHIN_S)
    trace_id: int = turn.get_span_context().trace_id
    return trace_id


def test_one_trace_from_the_agent_to_the_result(
    watched: Watched,
    agent_spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A trace that ends at the log answers nothing."""
    caplog.set_level(logging.DEBUG, "otel")
    market, deployment = watched.deployment.market("a1"), watched.deployment
    won, refused = bid(70, 1_500), bid(1, 10**14)
    trace_id = asyncio.run(one_turn(deployment, market, won, refused))
    eventually(lambda: names.RESULT in watched.of_trace(trace_id))
    spans = [span for span in watched.spans if _context(span).trace_id == trace_id]
    expected = [names.PROCESS, names.ALLOCATE, names.RESULT, names.ALLOCATE, names.RESULT]
    assert expected == [span.name for span in spans]

    sent = next(s for s in agent_spans.get_finished_spans() if s.name == "send market.*.bid.*")
    process, allocate, result, other = spans[:4]
    parents = [span.parent and span.parent.span_id for span in (process, allocate, result)]
    chain = [_context(span).span_id for span in (sent, process, allocate)]
    assert chain == parents
    assert process.start_time <= process.end_time <= allocate.end_time <= result.end_time  # type: ignore[operator]

    about, about_other = dict(allocate.attributes or {}), dict(other.attributes or {})
    assert ("won", 70, 1, 1) == (
        about[names.STATUS],
        about[names.WON + "tokens"],
        about[names.RANK],
        about[names.RANKED],
    )
    assert ("insufficient_balance", True) == (about_other[names.REASON], about_other[names.KEEP])
    assert names.KEEP not in about

    (window,) = [
        span
        for span in watched.spans
        if f"{_context(span).trace_id:032x}" == about[names.WINDOW_TRACE] and span.parent is None
    ]
    assert [_context(window)] == [link.context for link in allocate.links]
    assert _context(allocate) in [link.context for link in window.links]
    linked = (window.attributes or {})[names.BID_TRACES]
    assert [f"{trace_id:032x}"] == linked

    lines = [record for record in caplog.records if won.event_id in record.getMessage()]
    assert [f"{trace_id:032x}"] == [vars(record)["trace_id"] for record in lines]

    monkeypatch.setenv("WALRAS_NATS_URL", deployment.nats_url)
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", deployment.postgres_dsn)
    (life,) = json.loads(shell(capsys)("trace", won.event_id, "--json").out)
    told = life["trace_id"], life["rank"], life["ranked_bids"], life["status"], life["seq"]
    assert (f"{trace_id:032x}", 1, 1, "won", about[names.SEQ]) == told


def test_ranks_are_those_of_the_page(
    watched: Watched,
    agent_spans: InMemorySpanExporter,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The page and the span tree have to tell the same."""
    assert agent_spans is not None
    market, deployment = watched.deployment.market("a1"), watched.deployment
    both = {"tokens": 10, "cpu_ms": 10}
    bids = [
        bid(60, 1_500),
        BidPlaced(event_id=new_event_id(), bundle=both, limit_micros=200_000),
        bid(60, 1_500),
        bid(60, 4_499),
        BidPlaced(event_id=new_event_id(), bundle=both, limit_micros=45_000),
    ]
    trace_id = asyncio.run(one_turn(deployment, market, *bids))
    eventually(lambda: names.RESULT in watched.of_trace(trace_id))
    monkeypatch.setenv("WALRAS_NATS_URL", deployment.nats_url)
    monkeypatch.setenv("WALRAS_NATS_AUTH", "none")
    monkeypatch.setenv("WALRAS_POSTGRES_DSN", deployment.postgres_dsn)
    walras = shell(capsys)
    page = {
        each.event_id: walras("trace", each.event_id, "--json").json[0]["rank"] for each in bids
    }
    spans = {
        (span.attributes or {})[names.EVENT_ID]: (span.attributes or {})[names.RANK]
        for span in watched.spans
        if span.name == names.ALLOCATE and _context(span).trace_id == trace_id
    }
    assert page == spans
    assert {1, 2, 3, 4, 5} == set(spans.values())


def _agree(
    rows: Callable[[str], Points], query: str, watched: Watched, metric: names.Metric
) -> bool:
    return rows(query) == watched.points(metric)


def test_metrics_equal_the_ledger(watched: Watched) -> None:
    """Two numbers of one thing that differ make both worthless."""
    market = watched.deployment.market("a1", "a2")

    async def trade() -> None:
        for agent in ("a1", "a2"):
            async with watched.deployment.agent(market, agent) as me:
                for number in range(5):
                    await me.submit([bid(60, 1_500 + number), bid(1, 10**14)])
                last = bid(1, 2_000)
                await me.submit([last])
                await me.outcome(last.event_id, WITHIN_S)

    asyncio.run(trade())
    with psycopg.connect(watched.deployment.postgres_dsn, autocommit=True) as ledger:

        def rows(query: str) -> Points:
            return {tuple(row[:-1]): int(row[-1]) for row in ledger.execute(query.encode())}

        queries = {
            names.BIDS_JUDGED: "SELECT market, status, coalesce(reason, ''), count(*) "
            "FROM walras.bids GROUP BY 1, 2, 3",
            names.WINDOWS: "SELECT shard, count(*) FROM walras.windows GROUP BY 1",
            names.COMMANDS: "SELECT market, type, coalesce(reason, ''), count(*) "
            "FROM walras.commands GROUP BY 1, 2, 3",
            names.PAID_CREDITS: "SELECT market, sum(paid_micros) FROM walras.market_windows "
            "GROUP BY 1",
            names.SOLD: "SELECT market, resource, sum(sold) FROM walras.prices GROUP BY 1, 2",
            names.DEMANDED: "SELECT market, resource, sum(demanded) FROM walras.prices "
            "GROUP BY 1, 2",
        }
        for metric, query in queries.items():
            eventually(partial(_agree, rows, query, watched, metric))
        clearing = """SELECT DISTINCT ON (market, resource) market, resource, clearing_micros
            FROM walras.prices WHERE clearing_micros IS NOT NULL
            ORDER BY market, resource, window_id DESC"""
        assert rows(clearing) == watched.points(names.CLEARING)
