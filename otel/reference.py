"""The page of metrics, made from `otel/names.py`: `python -m otel.reference` prints it."""

import sys
from typing import Final

from otel.names import METRICS, Metric, prometheus_name

HEAD: Final = """# Metrics

Made from `otel/names.py` by `python -m otel.reference`. The first name is OpenTelemetry's, the
second that of the page `/metrics` (a histogram's has `_bucket`, `_sum` and `_count` behind it).
Labels are written there with `_` for `.`. No agent is a label; markets beyond the first hundred of
a process share the label `_other`.

| metric | on `/metrics` | kind | unit | labels | meaning |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """The page as it is in docs/reference/metrics.md."""
    return HEAD + "".join(map(_row, METRICS))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    cells = [f"`{metric.name}`", f"`{prometheus_name(metric)}`", metric.kind, f"`{metric.unit}`"]
    return f"| {' | '.join([*cells, labels, metric.description])} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
