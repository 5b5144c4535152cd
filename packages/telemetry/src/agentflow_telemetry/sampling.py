"""What is recorded, apart from what is exported."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes


class RecordEverything(Sampler):
    """Records every span, so that counts are exact; another sampler says which are exported."""

    def __init__(self, exported: Sampler | None = None) -> None:
        """Decide from now on.

        Args:
            exported: Says what leaves the process. When None, what OTEL_TRACES_SAMPLER and
                OTEL_TRACES_SAMPLER_ARG name: everything but what a client's trace leaves out, if not set.
        """
        self._exported = exported or TracerProvider(shutdown_on_exit=False).sampler

    def should_sample(  # noqa: PLR0917 - as its base has it
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As the other one decides; what it would drop is recorded only."""
        result = self._exported.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        if result.decision is Decision.DROP:
            return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)
        return result

    def get_description(self) -> str:
        """Its name."""
        return f"RecordEverything({self._exported.get_description()})"
