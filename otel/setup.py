"""Where telemetry of a process goes: to a collector over OTLP, and to a page of metrics.

Promise: what is off is not made. Where the collector is, and how it is reached and proven, is said
by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `_CERTIFICATE`, `_CLIENT_KEY`,
`_HEADERS`, `OTEL_BSP_*`, `OTEL_RESOURCE_ATTRIBUTES`, …). With the collector away or slow, spans
wait in a queue of bounded length and are then dropped.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from otel import names
from otel.propagation import Door

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    from otel.instrument import Emit, Watch
    from otel.metrics import Metrics

PAGE_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a process tells of itself."""

    traces: Literal["off", "otlp"] = "off"
    trace_ratio: float = 0.01
    """The share of traces that senders have sampled which is kept."""
    metrics: Literal["off", "page", "otlp"] = "off"
    logs: Literal["off", "otlp"] = "off"
    role: str = "flow"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What is on in this process."""

    options: Options
    resource: "Resource"
    metrics: "Metrics | None"
    emit: "Emit | None"

    def watch(self, logs: Mapping[int, str]) -> "Watch":
        """The watch over one run of the flow; `logs` names the log of each shard."""
        from otel.instrument import Watch
        from otel.spans import SpanMaker

        return Watch(
            logs={shard: SpanMaker(self.resource, name, shard) for shard, name in logs.items()},
            metrics=self.metrics,
            emit=self.emit,
            door=Door(self.options.trace_ratio if self.emit else 0.0),
        )


@contextmanager
def telemetry(options: Options) -> Iterator[Telemetry | None]:
    """Telemetry for a block; none where all is off. What waits leaves at its end."""
    if {options.traces, options.metrics, options.logs} == {"off"}:
        yield None
        return
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create({"service.name": names.SERVICE, "walras.role": options.role})
    with ExitStack() as stack:
        metrics = _metrics(options, resource, stack)
        emit = _traces(stack) if options.traces == "otlp" else None
        if options.logs == "otlp":
            _logs(resource, stack)
        yield Telemetry(options, resource, metrics, emit)


def metrics_page() -> str:
    """The metrics of this process in the text form of Prometheus."""
    from prometheus_client import REGISTRY, generate_latest

    return generate_latest(REGISTRY).decode()


def _traces(stack: ExitStack) -> "Emit":
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    processor = BatchSpanProcessor(OTLPSpanExporter())
    stack.callback(processor.shutdown)
    return processor.on_end


def _metrics(options: Options, resource: "Resource", stack: ExitStack) -> "Metrics | None":
    if options.metrics == "off":
        return None
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

    from otel.metrics import Metrics

    readers: list[MetricReader] = [PrometheusMetricReader()]
    if options.metrics == "otlp":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    provider = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    stack.callback(provider.shutdown)
    return Metrics(provider.get_meter(names.SCOPE))


def _logs(resource: "Resource", stack: ExitStack) -> None:
    """Beside stderr; the handler is gone before the interpreter ends."""
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    handler = LoggingHandler(logger_provider=provider)
    root = logging.getLogger()
    root.addHandler(handler)
    stack.callback(provider.shutdown)
    stack.callback(root.removeHandler, handler)
