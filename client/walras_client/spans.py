"""The trace of an agent goes into the log with its commands: a span, and W3C's `traceparent`.

Promise: without a tracer provider nothing is made and nothing is sent. What an agent sends is its
own affair: markets trace a share of it. It needs OpenTelemetry's API, the extra `otel`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import propagate, trace


@contextmanager
def sending(subject: str, count: int, headers: dict[str, str]) -> Iterator[None]:
    """A span around a message on its way to the log; its context is added to the headers."""
    tracer = trace.get_tracer("walras_client")
    attributes: dict[str, str | int] = {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": subject,
        "messaging.batch.message_count": count,
    }
    kind = trace.SpanKind.PRODUCER
    with tracer.start_as_current_span(f"send {_template(subject)}", kind=kind) as span:
        if span.is_recording():
            span.set_attributes(attributes)
        if span.get_span_context().is_valid:
            propagate.inject(headers)
        yield


def _template(subject: str) -> str:
    """The subject without the names of market and agent, of which there may be many."""
    return f"market.*.{subject.split('.')[2]}.*"
