"""Everything that is recorded in a test, of whatever the process does."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from agentflow_telemetry.recorder import Recorder


class Told(SpanProcessor):
    """Spans that ended, in that order."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """See there."""
        self.spans.append(span)

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of a name."""
        return [span for span in self.spans if span.name == name]

    def said(self, name: str, attribute: str) -> list[object]:
        """What those of a name say."""
        return [(span.attributes or {}).get(attribute) for span in self.named(name)]


@contextmanager
def telling(monkeypatch: pytest.MonkeyPatch, *, sampled: bool = False) -> Iterator[Told]:
    """Tell of the block; sampled as where all of it is exported, else as where nothing is."""
    told = Told()
    provider: TracerProvider = Recorder(Resource({}), [told], ALWAYS_ON if sampled else None)
    with monkeypatch.context() as patched:
        patched.setattr(trace, "_TRACER_PROVIDER", provider)
        yield told
    provider.shutdown()
