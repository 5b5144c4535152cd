"""Keeps the spans of a run together until it ends, and holds ended runs until they are stored."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from agentflow.utils import span_names as names
from agentflow_hosting.trace_data import MOST_SPANS, EndedRun, ids_of

_Key = tuple[int, int]
_COUNTED: Final = {names.MODEL_SPAN: "llm_calls", names.TOOL_SPAN: "tool_calls"}


class TraceCollector(SpanProcessor):
    """Told of every span as it begins and ends, on the way of whoever makes it: it only files them.

    A run's spans are found by their parents and not by their trace, which clients choose. Spans of others,
    such as a tool's own, are passed over: what they hold is not ours to keep.

    Attributes:
        passed_over: Scopes whose spans are no part of a run: storage's, whose versions are events of the
            run, and requests', which stand above runs.
        dropped: Ended runs that were given up because too many waited.
        on_ended: Called, from any thread, when one joined those that wait.
    """

    passed_over: Final = frozenset((names.STORAGE_SCOPE, names.REQUESTS_SCOPE))

    def __init__(self, *, most_waiting: int = 1000) -> None:
        """Nothing is open.

        Args:
            most_waiting: Ended runs to hold; then the oldest is given up for each new one.
        """
        self._open: dict[_Key, EndedRun] = {}
        # Span -> its run, and the nearest span above it that is kept.
        self._places: dict[_Key, tuple[EndedRun, int]] = {}
        self._waiting: deque[EndedRun] = deque()
        self._most_waiting = most_waiting
        self.dropped = 0
        self.on_ended: Callable[[], None] | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See there. Cost: a look-up or two."""
        if _scope_of(span) in self.passed_over:  # the SDK's own tell of all
            return
        key = ids_of(span)
        run = _run_of(span)
        if run is not None:
            self._open[key] = run
            self._places[key] = (run, key[1])
            return
        parent = span.parent
        place = None if parent is None else self._places.get((parent[0], parent[1]))
        if place is not None:
            self._places[key] = (place[0], key[1] if _is_ours(span) else place[1])
            place[0].begun.add(key)

    def on_end(self, span: ReadableSpan) -> None:
        """See there."""
        key = ids_of(span)
        place = self._places.pop(key, None)
        if place is None:
            return
        run = place[0]
        run.begun.discard(key)
        if self._open.pop(key, None) is not None:
            self._end(run, span)
        elif _is_ours(span):
            self._keep(run, span)

    def is_at_work(self, tenant_id: uuid.UUID, thread_id: str, run_id: str) -> bool:
        """Whether a run is under way in this process."""
        return any(run.key == (tenant_id, thread_id, run_id) for run in list(self._open.values()))

    def take(self, most: int) -> list[EndedRun]:
        """Ended runs that wait, oldest first; they wait no longer."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def put_back(self, runs: list[EndedRun]) -> None:
        """They wait again, as the oldest."""
        self._waiting.extendleft(reversed(runs))
        self._make_room()

    def _end(self, run: EndedRun, span: ReadableSpan) -> None:
        run.span = span
        for left in run.begun:  # ends too late to be told
            self._places.pop(left, None)
        if not (span.attributes or {}).get(names.THREAD_NO):
            return  # nothing came of it that is durable
        self._waiting.append(run)
        self._make_room()
        if self.on_ended is not None:
            self.on_ended()

    def _keep(self, run: EndedRun, span: ReadableSpan) -> None:
        counted = _COUNTED.get(str((span.attributes or {}).get(names.OPERATION)))
        if counted is not None:
            setattr(run, counted, getattr(run, counted) + 1)
        if len(run.parts) >= MOST_SPANS - 1:
            run.lost += 1
            return
        above = None if span.parent is None else self._places.get((span.parent.trace_id, span.parent.span_id))
        run.parts.append((span, ids_of(run.span)[1] if above is None else above[1]))

    def _make_room(self) -> None:
        while len(self._waiting) > self._most_waiting:
            self._waiting.popleft()
            self.dropped += 1


def _run_of(span: Span) -> EndedRun | None:
    said: Any = span.attributes
    if not said or names.RUN not in said or said.get(names.OPERATION) != names.RUN_SPAN:
        return None
    return EndedRun(uuid.UUID(said[names.TENANT]), said[names.CONVERSATION], said[names.RUN], span)


def _is_ours(span: ReadableSpan) -> bool:
    return _scope_of(span) == names.SCOPE


def _scope_of(span: ReadableSpan) -> str:
    scope = span.instrumentation_scope
    return "" if scope is None else scope.name
