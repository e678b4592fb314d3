"""From an agent's turn to Phoenix, through the real collector, with TLS and tokens everywhere."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from connectors.embedded.servers import Servers
from otel import names
from otel.setup import Options, telemetry
from tests.client.deployment import Deployment, deployed
from tests.otel.backends import (
    ADMIN,
    COLLECTOR,
    PHOENIX,
    Collector,
    Phoenix,
    collector,
    make_certificates,
    phoenix,
    require,
)
from tests.support.eventually import eventually
from walras_client import new_event_id
from walras_schemas import BidPlaced

WITHIN_S: Final = 60.0
ORDER: Final = ["turn", "send market.*.bid.*", names.PROCESS, names.ALLOCATE, names.RESULT]
TAIL: Final = {
    "OTELCOL_DECISION_WAIT": "4s",
    "OTELCOL_KEEP_PERCENT": "0",
    "OTELCOL_SLOW_MS": "600000",
    "OTELCOL_BATCH_TIMEOUT": "100ms",
    "OTELCOL_TRACES_TOKEN": ADMIN,
}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Phoenix:
    require(COLLECTOR, "collector")
    require(PHOENIX, "phoenix")
    folder = tmp_path_factory.mktemp("phoenix")
    return phoenix(folder, make_certificates(folder))


@pytest.fixture(scope="module")
def gate(backend: Phoenix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    endpoint = f"127.0.0.1:{backend.grpc_port}"
    folder = tmp_path_factory.mktemp("collector")
    one = collector(folder, backend.certificates, OTELCOL_TRACES_ENDPOINT=endpoint, **TAIL)
    with one.running():
        yield one


@pytest.fixture(scope="module")
def deployment(gate: Collector, servers: Servers) -> Iterator[Deployment]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in gate.client_env.items():
            patch.setenv(name, value)
        with (
            telemetry(Options(traces="otlp", trace_ratio=1.0)) as sending,
            deployed(servers, telemetry=sending) as one,
        ):
            yield one


@pytest.fixture(scope="module")
def tracer(deployment: Deployment) -> trace.Tracer:
    """The agent's own, whose spans go to the same collector."""
    assert deployment.nats_url
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("test")


async def turn(deployment: Deployment, tracer: trace.Tracer, market: str, price: int) -> str:
    """One bid within a turn of the agent; the id of its trace."""
    bid = BidPlaced(event_id=new_event_id(), resource="tokens", quantity=1, unit_price_micros=price)
    async with deployment.agent(market, "a1") as me:
        with tracer.start_as_current_span("turn") as around:
            await me.submit([bid])
        await me.outcome(bid.event_id, WITHIN_S)
    return f"{around.get_span_context().trace_id:032x}"


def in_order(spans: list[dict[str, Any]]) -> list[str]:
    """The names of a trace's spans from its root on, each the parent of the next."""
    by_parent = {span["parent_id"]: span for span in spans}
    found, at = [], by_parent.get(None)
    while at:
        found.append(at["name"])
        at = by_parent.get(at["context"]["span_id"])
    return found


def of_trace(backend: Phoenix, trace_id: str) -> list[dict[str, Any]]:
    return [span for span in backend.spans() if span["context"]["trace_id"] == trace_id]


def _is_whole(backend: Phoenix, trace_id: str) -> bool:
    return len(of_trace(backend, trace_id)) >= len(ORDER)


def test_a_bid_in_phoenix(backend: Phoenix, deployment: Deployment, tracer: trace.Tracer) -> None:
    """Refusals must arrive whole, also when the backend was away; of the rest only a share."""
    market = deployment.market("a1")
    won = asyncio.run(turn(deployment, tracer, market, 1_500))
    away = asyncio.run(turn(deployment, tracer, market, 10**14))
    with backend.running():
        assert (401, 200) == (backend.status("wrong"), backend.status(ADMIN))
        refused = asyncio.run(turn(deployment, tracer, market, 10**14))
        for trace_id in (away, refused):
            eventually(partial(_is_whole, backend, trace_id), within_s=WITHIN_S)
            spans = of_trace(backend, trace_id)
            assert ORDER == in_order(spans)
            (allocated,) = [span for span in spans if span["name"] == names.ALLOCATE]
            assert "insufficient_balance" == allocated["attributes"][names.REASON]
        assert [] == of_trace(backend, won)


@pytest.mark.parametrize("header", ["authorization=Bearer wrong", "authorization=", ""])
def test_a_wrong_token_is_refused(
    gate: Collector, header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reaches the port could write into everybody's traces."""
    env = gate.client_env | {"OTEL_EXPORTER_OTLP_HEADERS": header}
    assert SpanExportResult.FAILURE is exported(env, monkeypatch)


def test_a_plain_connection_is_refused(gate: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in the clear is everybody's."""
    plain = gate.client_env["OTEL_EXPORTER_OTLP_ENDPOINT"].replace("https", "http")
    env = gate.client_env | {"OTEL_EXPORTER_OTLP_ENDPOINT": plain}
    assert SpanExportResult.FAILURE is exported(env, monkeypatch)


def test_the_right_token_is_taken(gate: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the two refusals above would prove nothing."""
    assert SpanExportResult.SUCCESS is exported(gate.client_env, monkeypatch)


def exported(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> SpanExportResult:
    """How the export of one span ends."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    provider.get_tracer("test").start_span("one").end()
    exporter = OTLPSpanExporter(timeout=3)
    try:
        return exporter.export(kept.get_finished_spans())
    finally:
        exporter.shutdown()
