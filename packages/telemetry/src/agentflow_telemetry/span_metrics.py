"""Counts and times of every span that ends, whether it is exported or not.

The names are those of the OpenTelemetry collector's spanmetrics connector, so that dashboards made for one
read the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from agentflow_telemetry import names
from agentflow_telemetry.label_values import LabelValues
from agentflow_telemetry.leaves import Leaf
from agentflow_telemetry.light_spans import LightSpan
from agentflow_telemetry.named_tenants import OTHER, NamedTenants
from agentflow_telemetry.span_series import CALLS, DURATION, Calls, Durations, Family, Labels
from agentflow_telemetry.token_counts import TokenCounts

_TENANT: Final = "agentflow_tenant_id"
# Attributes that become labels, where a span has them. Never a thread, a user or a key.
_ATTRIBUTES: Final = (
    names.TENANT,
    names.PLACEMENT,
    names.CACHE_RESULT,
    names.LOCK_OUTCOME,
    names.QUOTA,
    names.QUOTA_DECISION,
    names.ROUTE,
    names.STATUS,
    names.AGENT,
    names.MODEL,
    names.TOOL,
)
_LABELS: Final = tuple(name.replace(".", "_") for name in _ATTRIBUTES)
# Those that spans of storage may have: the first of them.
_OF_LEAVES: Final = _ATTRIBUTES[:6]
# What tells counts apart and not times: each series of times is a dozen lines.
_UNTIMED: Final = frozenset({"http_response_status_code"})
# Spans whose times are told by tenant: what a tenant waits for. Others have a dozen kinds a request.
_TIMED_BY_TENANT: Final = ("invoke_agent", "checkpoint.put", "checkpoint.get")

_MOST_CALLS: Final = 3000
_MOST_DURATIONS: Final = 300
# Of requests that are no tenant's, a place of their own: anybody can ask for anything.
_MOST_CALLS_OF_STRANGERS: Final = 300
_MOST_DURATIONS_OF_STRANGERS: Final = 60
_MOST_REMEMBERED: Final = 20_000
_AT_A_STRETCH: Final = 64


class _Place:
    """Where spans of one kind are counted."""

    __slots__ = ("asks", "calls", "durations", "is_cut", "is_model", "model", "tenant")

    def __init__(
        self, calls: Calls, durations: Durations, key: tuple[Any, ...], kind: SpanKind, *, is_cut: bool
    ) -> None:
        self.calls = calls
        self.durations = durations
        self.is_cut = is_cut
        # Whose request it is, when it is one.
        self.asks: str | None = key[3] if kind is SpanKind.SERVER or _is(key[0], "invoke_agent") else None
        self.tenant = calls.labels.get(_TENANT, "")
        self.model = calls.labels.get("gen_ai_request_model", "")
        # A node's span names a model where it has tokens that no model's span has.
        self.is_model = _is(key[0], "chat") or (_is(key[0], "node") and bool(self.model))


class SpanMetrics(SpanProcessor, Collector):
    """A span processor that counts, and a collector that tells. Cost: about 2 us a span.

    Attributes:
        tenants: Those that are named.
        tokens: Of the model calls among the spans.
        uncounted: Spans that could not be: what they say of themselves is not what such a span says.
        cut: Spans that were counted with fewer labels than they have, since there were too many series.
    """

    def __init__(self, service: str, tokens: TokenCounts, tenants: NamedTenants, *, exemplars: bool) -> None:
        """Nothing is counted yet.

        Args:
            service: Its name in every series.
            tokens: Told of model calls.
            tenants: Knows which are named.
            exemplars: Whether spans that are sampled can be found anywhere.
        """
        self.tenants = tenants
        self.tokens = tokens
        self.cut = 0
        self.uncounted = 0
        self._service = service
        self._exemplars = exemplars
        self._lock = threading.Lock()
        self._values = LabelValues()
        self._calls = Family(Calls, _MOST_CALLS)
        self._durations = Family(Durations, _MOST_DURATIONS)
        self._strangers_calls = Family(Calls, _MOST_CALLS_OF_STRANGERS)
        self._strangers_durations = Family(Durations, _MOST_DURATIONS_OF_STRANGERS)
        self._places: dict[tuple[Any, ...], _Place] = {}
        self._ended: deque[ReadableSpan | Leaf] = deque()

    def on_end(self, span: ReadableSpan) -> None:
        """See there. It is counted later, and before anybody is told anything."""
        self._take(span)

    def on_leaf(self, leaf: Leaf) -> None:
        """The same of a span of storage that stays in the process."""
        self._take(leaf)

    def catch_up(self) -> None:
        """Count what ended by now. Who asks for more than `collect` calls it first."""
        with self._lock:
            self._count()

    def choose_tenants(self, named: Sequence[str], revision: int) -> None:
        """Name these tenants from now on. What was counted of one that is named no more is told no more."""
        with self._lock:
            self._count()
            if self.tenants.adopt(named, revision):
                counted, timed = self.tenants.told()
                self._calls.keep(_TENANT, {*counted, ""})
                self._durations.keep(_TENANT, {*timed, ""})
                self.tokens.keep({*counted, ""})
                self._places.clear()

    def requests(self) -> dict[str, float]:
        """Recent requests by tenant."""
        with self._lock:
            self._count()
            return self.tenants.requests()

    def collect(self) -> Iterable[Metric]:
        """What was counted so far."""
        self.catch_up()
        calls = Metric(CALLS, "Spans that ended.", "counter")
        calls.samples = self._calls.samples(self._lock) + self._strangers_calls.samples(self._lock)
        durations = Metric(DURATION, "How long spans took.", "histogram")
        durations.samples = self._durations.samples(self._lock)
        durations.samples += self._strangers_durations.samples(self._lock)
        with self._lock:
            tokens = list(self.tokens.collect())
        return [calls, durations, *tokens]

    def _take(self, ended: ReadableSpan | Leaf) -> None:
        """Many are counted at a stretch: that costs each a fraction of what it does amid a request's work."""
        self._ended.append(ended)
        # Who counts at this moment, perhaps below this very call, leaves the rest to the next one.
        if len(self._ended) >= _AT_A_STRETCH and self._lock.acquire(blocking=False):
            try:
                self._count()
            finally:
                self._lock.release()

    def _count(self) -> None:
        for _ in range(len(self._ended)):
            ended = self._ended.popleft()
            try:
                if isinstance(ended, ReadableSpan):
                    self._count_span(ended)
                else:
                    self._count_leaf(ended)
            except Exception:  # noqa: BLE001 - another one's span is not to break the work that counts it
                self.uncounted += 1

    def _count_leaf(self, leaf: Leaf) -> None:
        key = (leaf.name, leaf.kind, leaf.failed is None, *map(leaf.attributes.get, _OF_LEAVES))
        place = self._places.get(key)
        if place is None:
            code = StatusCode.UNSET if leaf.failed is None else StatusCode.ERROR
            place = self._new_place(key, SpanKind[leaf.kind], code)
        place.calls.count += 1
        place.durations.observe(leaf.seconds, None, 0.0)
        self.cut += place.is_cut

    def _count_span(self, span: ReadableSpan) -> None:
        said: Any = span.attributes or {}
        if type(said) is not dict:  # the SDK's own, which costs four times as much to ask as a copy of it
            said = said.copy()
        # Only the SDK's leave the process, where they are found by who looks for an example.
        context = span.context if self._exemplars and type(span) is not LightSpan else None
        kind, code = span.kind, span.status.status_code
        # By their identities: members of an enum hash as slowly as all the rest of the key.
        key = (span.name, id(kind), id(code), *map(said.get, _ATTRIBUTES))
        try:
            place = self._places.get(key)
        except TypeError:  # a list, which nobody here says, where a label has a word
            key = (*key[:3], *(None if value is None else str(value) for value in key[3:]))
            place = self._places.get(key)
        ended = span.end_time or 0
        seconds = (ended - (span.start_time or ended)) / 1e9
        example = context if context is not None and context.trace_flags.sampled else None
        place = place or self._new_place(key, kind, code)
        place.calls.count += 1
        place.durations.observe(seconds, example, ended / 1e9)
        self.cut += place.is_cut
        if place.asks is not None:
            self.tenants.count(place.asks)
        if place.is_model:
            self.tokens.add(place.tenant, place.model, said)

    def _new_place(self, key: tuple[Any, ...], kind: SpanKind, status: StatusCode) -> _Place:
        name, _, _, *found = key
        labels: Labels = {
            "service_name": self._service,
            "span_name": self._values.of("request" if kind is SpanKind.SERVER else "span_name", name),
            "span_kind": f"SPAN_KIND_{kind.name}",
            "status_code": f"STATUS_CODE_{status.name}",
        }
        for label, value in zip(_LABELS, found, strict=False):  # a leaf's key has the first of them
            if value is not None:
                given = str(value)
                is_tenant = label == _TENANT
                labels[label] = self.tenants.name_of(given) if is_tenant else self._values.of(label, given)
        is_strangers = kind is SpanKind.SERVER and _TENANT not in labels
        least = _least(labels)
        counted = self._strangers_calls if is_strangers else self._calls
        calls, whole = counted.of(labels, _of_others(labels), least)
        timed = self._timed(labels, key, kind)
        measured = self._strangers_durations if is_strangers else self._durations
        durations, _ = measured.of(timed, _of_others(timed), least)
        given_up = any(value == OTHER for label, value in labels.items() if label != _TENANT)
        place = _Place(calls, durations, key, kind, is_cut=given_up or not whole)
        if len(self._places) >= _MOST_REMEMBERED:
            self._places.clear()
        self._places[key] = place
        return place

    def _timed(self, labels: Labels, key: tuple[Any, ...], kind: SpanKind) -> Labels:
        timed = {label: value for label, value in labels.items() if label not in _UNTIMED}
        if _TENANT in timed:
            if kind is SpanKind.SERVER or key[0].startswith(_TIMED_BY_TENANT):
                timed[_TENANT] = self.tenants.timed_name_of(str(key[3]))
            else:
                del timed[_TENANT]
        return timed


def _of_others(labels: Labels) -> Labels:
    return {**labels, _TENANT: OTHER} if _TENANT in labels else labels


def _least(labels: Labels) -> Labels:
    """What is left when there are too many series: one for each kind of span and status.

    Tenants' are apart from nobody's: those are of another family, and no line stands on a page twice.
    """
    left = {name: labels[name] for name in ("service_name", "span_kind", "status_code")}
    whose = {_TENANT: OTHER} if _TENANT in labels else {}
    return {**left, **whose, "span_name": OTHER}


def _is(name: str, operation: str) -> bool:
    return name == operation or name.startswith(f"{operation} ")
