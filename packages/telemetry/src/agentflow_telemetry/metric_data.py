"""What is told to Prometheus, in OpenTelemetry's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import samples
from prometheus_client.core import Metric as Family

_SCOPE: Final = InstrumentationScope("agentflow")
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE

_Labels = frozenset[tuple[str, str]]


def metrics_data(families: Iterable[Family], resource: Resource, *, since: int, now: int) -> MetricsData:
    """Every family under its own name; a counter's loses `_total`, which whoever reads it puts back.

    Args:
        families: As a collector tells them.
        resource: Of the process.
        since: When counting began, in nanoseconds since the epoch.
        now: The same of this moment.
    """
    metrics = [_metric(family, since, now) for family in families if family.samples]
    scope = ScopeMetrics(_SCOPE, metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, since: int, now: int) -> Metric:
    data: Sum | Gauge | Histogram
    if family.type == "histogram":
        data = Histogram(_histograms(family.samples, since, now), _CUMULATIVE)
    elif family.type == "counter":
        data = Sum(_numbers(family.samples, since, now), _CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(_numbers(family.samples, now, now))
    return Metric(family.name, family.documentation, "", data)


def _numbers(found: Iterable[samples.Sample], since: int, now: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(one.labels), since, now, one.value) for one in found]


def _histograms(found: Iterable[samples.Sample], since: int, now: int) -> list[HistogramDataPoint]:
    """A histogram for each set of labels, whose lines stand together or not."""
    by_labels: dict[_Labels, list[samples.Sample]] = {}
    for sample in found:
        labels = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
        by_labels.setdefault(labels, []).append(sample)
    return [_histogram(dict(labels), lines, since, now) for labels, lines in by_labels.items()]


def _histogram(
    labels: Mapping[str, str], lines: Sequence[samples.Sample], since: int, now: int
) -> HistogramDataPoint:
    buckets = [(float(line.labels["le"]), line) for line in lines if "le" in line.labels]
    ends = sorted(buckets, key=lambda bucket: bucket[0])
    totals = [0, *(int(line.value) for _, line in ends)]
    seconds = sum(line.value for line in lines if line.name.endswith("_sum"))
    return HistogramDataPoint(
        attributes=labels,
        start_time_unix_nano=since,
        time_unix_nano=now,
        count=totals[-1],
        sum=seconds,
        bucket_counts=[after - before for before, after in pairwise(totals)],
        explicit_bounds=[end for end, _ in ends[:-1]],
        min=None,  # type: ignore[arg-type]  # nobody keeps them, and the protocol can do without
        max=None,  # type: ignore[arg-type]  # likewise
        exemplars=[found for _, line in ends if (found := _exemplar(line.exemplar)) is not None],
    )


def _exemplar(found: samples.Exemplar | None) -> Exemplar | None:
    if found is None or found.timestamp is None:
        return None
    at = int(float(found.timestamp) * 1e9)
    ids = found.labels
    return Exemplar({}, found.value, at, int(ids["span_id"], 16), int(ids["trace_id"], 16))
