"""What is counted of spans with the same labels."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from opentelemetry.trace import SpanContext
from prometheus_client.samples import Exemplar, Sample

CALLS: Final = "traces_span_metrics_calls"
DURATION: Final = "traces_span_metrics_duration_seconds"

# Upper ends in seconds. 50 ms is what a checkpoint is promised to take at most. Each one is a line more for
# every series, so that there are no more than panels need.
BOUNDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)
_ENDS: Final = (*(str(bound) for bound in BOUNDS), "+Inf")

Labels = dict[str, str]


class Calls:
    """How many spans had these labels."""

    __slots__ = ("count", "labels")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.count = 0

    def samples(self) -> list[Sample]:
        """The one line of it."""
        return [Sample(f"{CALLS}_total", self.labels, self.count)]


class Durations:
    """How long spans with these labels took."""

    __slots__ = ("buckets", "exemplars", "labels", "seconds")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.seconds = 0.0
        self.buckets = [0] * len(_ENDS)
        self.exemplars: dict[int, tuple[SpanContext, float, float]] = {}

    def observe(self, seconds: float, example: SpanContext | None, at: float) -> None:
        """One span more.

        Args:
            seconds: It took.
            example: The span, when whoever looks can find it.
            at: When it ended, in seconds since the epoch.
        """
        place = bisect_left(BOUNDS, seconds)
        self.buckets[place] += 1
        self.seconds += seconds
        if example is not None:
            self.exemplars[place] = (example, seconds, at)

    def samples(self) -> list[Sample]:
        """The lines of a histogram: so many took at most so long, their number, and their time together."""
        labels, found, total = self.labels, [], 0
        for place, (end, count) in enumerate(zip(_ENDS, self.buckets, strict=True)):
            total += count
            exemplar = _exemplar(self.exemplars.get(place))
            found.append(Sample(f"{DURATION}_bucket", {**labels, "le": end}, total, None, exemplar))
        found.append(Sample(f"{DURATION}_count", labels, total))
        found.append(Sample(f"{DURATION}_sum", labels, self.seconds))
        return found


def _exemplar(kept: tuple[SpanContext, float, float] | None) -> Exemplar | None:
    if kept is None:
        return None
    context, seconds, at = kept
    ids = {"trace_id": format(context.trace_id, "032x"), "span_id": format(context.span_id, "016x")}
    return Exemplar(ids, seconds, at)


class Family[S: (Calls, Durations)]:
    """Series of one kind, by their labels."""

    def __init__(self, kind: Callable[[Labels], S], most: int) -> None:
        """Empty.

        Args:
            kind: Of series.
            most: Series; then labels are given up.
        """
        self._kind: Callable[[Labels], S] = kind
        self._most = most
        self._series: dict[frozenset[tuple[str, str]], S] = {}

    def of(self, *choices: Labels) -> tuple[S, bool]:
        """The series with the first of these labels that there is, or is room for; the last always is.

        Returns:
            The series, and whether it has the labels asked for.
        """
        for labels in choices:
            key = frozenset(labels.items())
            series = self._series.get(key)
            if series is None and (len(self._series) < self._most or labels is choices[-1]):
                series = self._series[key] = self._kind(labels)
            if series is not None:
                return series, labels is choices[0]
        raise AssertionError("no labels")

    def keep(self, label: str, values: set[str]) -> None:
        """Forget series whose label has another value."""
        self._series = {
            key: series for key, series in self._series.items() if series.labels.get(label, "") in values
        }

    def samples(self, lock: threading.Lock) -> list[Sample]:
        """The lines of all, each series as it is at one moment."""
        found: list[Sample] = []
        with lock:
            every = list(self._series.values())
        for series in every:
            with lock:
                found += series.samples()
        return found
