"""How the processes of a deployment are watched, as the settings say, and the page of metrics."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bytewax.dataflow import Dataflow

from connectors.nats.source import NatsSource
from connectors.web.app import Pages, Text, pages_app
from connectors.web.server import serving
from flows import allocation
from flows.runtime.settings import Settings
from flows.runtime.worker import BuildFlow, Worker
from otel.setup import PAGE_TYPE, Options, Telemetry, metrics_page, telemetry


def open_telemetry(settings: Settings, *, role: str) -> AbstractContextManager[Telemetry | None]:
    """Telemetry of this process for a block, as the settings say; none where all is off."""
    return telemetry(
        Options(
            traces=settings.traces,
            trace_ratio=settings.trace_ratio,
            metrics=settings.metrics,
            logs=settings.logs,
            role=role,
        )
    )


def metrics_pages(telemetry: Telemetry | None) -> Pages:
    """The page `/metrics`, where there is anything to show."""
    if telemetry is None or telemetry.metrics is None:
        return {}
    return {"/metrics": lambda: Text(metrics_page(), PAGE_TYPE)}


@contextmanager
def serving_metrics(telemetry: Telemetry | None, *, port: int) -> Iterator[None]:
    """Serve `/metrics` of a process that serves nothing else beside a block; 0 serves nothing."""
    pages = metrics_pages(telemetry)
    if not (pages and port):
        yield
        return
    with serving(pages_app(pages), name="metrics endpoint", port=port):
        yield


def watched_worker(telemetry: Telemetry | None) -> Any:
    """What makes a worker whose flow is watched; the plain one where nothing is on."""
    if telemetry is None or (telemetry.metrics is None and telemetry.emit is None):
        return Worker
    return partial(Worker, build=_watched(telemetry))


def _watched(telemetry: Telemetry) -> BuildFlow:
    """The flow with a watch over it: a new one for each run."""

    def build(*, source: NatsSource, **rest: Any) -> Dataflow:
        logs = {shard: str(log.created_ns) for shard, log in source.identities.items()}
        watch = telemetry.watch(logs)
        seen = replace(source, on_read=watch.on_messages) if telemetry.emit else source
        return allocation.build(source=seen, watched=watch.watched, **rest)

    return build
