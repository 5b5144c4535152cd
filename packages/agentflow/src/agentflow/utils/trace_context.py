"""W3C trace context, as text: between processes, and for whoever is called.

See https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agentflow.utils.spans import listening

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)


def traceparent() -> str | None:
    """Of the span that is open here; None when nobody listens, or none is."""
    if not listening():
        return None
    context = sys.modules["opentelemetry.trace"].get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"


def outgoing() -> dict[str, str]:
    """Header fields for a call to another service: its spans join this trace. No baggage."""
    found = traceparent()
    return {} if found is None else {"traceparent": found}


@contextmanager
def below(parent: str | None) -> Iterator[None]:
    """Spans that begin in the block stand below a span of another process.

    Text that names none changes nothing.
    """
    match = _TRACEPARENT.fullmatch(parent or "")
    if match is None or not listening():
        yield
        return
    trace, contexts = sys.modules["opentelemetry.trace"], sys.modules["opentelemetry.context"]
    named = trace.SpanContext(
        int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=trace.TraceFlags(int(match[3], 16))
    )
    token = contexts.attach(trace.set_span_in_context(trace.NonRecordingSpan(named)))
    try:
        yield
    finally:
        contexts.detach(token)
