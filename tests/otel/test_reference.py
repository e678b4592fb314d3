"""The page of metrics and the page `/metrics` say what the code counts."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from otel.names import METRICS, prometheus_name
from otel.reference import page

HOUSE: Final = Path(__file__).parents[2]
EVERY_METRIC: Final = """
from otel.names import METRICS
from otel.setup import Options, metrics_page, telemetry
with telemetry(Options(metrics="page")) as opened:
    for metric in METRICS:
        labels = {label: "x" for label in metric.labels}
        put = {"counter": opened.metrics.add, "gauge": opened.metrics.set}.get(
            metric.kind, opened.metrics.observe
        )
        put(metric, 1, labels)
    print(metrics_page())
"""


def test_the_page_is_made_from_the_code() -> None:
    """A dashboard is built from this page."""
    assert (HOUSE / "docs" / "reference" / "metrics.md").read_text() == page()


def test_names_on_the_page_of_prometheus() -> None:
    """A name that nobody exports is a panel that stays empty."""
    shown = subprocess.run(
        [sys.executable, "-c", EVERY_METRIC], capture_output=True, text=True, check=True, cwd=HOUSE
    ).stdout
    kinds = dict(
        line.split()[2:4] for line in shown.splitlines() if line.startswith("# TYPE walras_")
    )
    assert {prometheus_name(metric): metric.kind for metric in METRICS} == kinds
