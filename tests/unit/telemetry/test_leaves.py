"""Spans of storage that are only counted: they count as others do, and a trace that leaves has them whole."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from agentflow.errors import ThreadBusyError
from agentflow.storage.checkpointer import Scope
from agentflow.storage.checkpointer.storage_spans import get_span, lock_span, note_cache, note_lock, put_span
from agentflow.utils.counted_leaf import CountedLeaf
from agentflow.utils.interrupt import GraphInterrupt
from agentflow.utils.spans import AnySpan, LiveSpan, open_leaf, open_span
from agentflow_telemetry import Metrics
from agentflow_telemetry.recorder import Recorder
from tests.support.spans import families, lines

TENANT = UUID(int=7)
SCOPE = Scope(TENANT)
CALLS = "traces_span_metrics_calls_total"


class Ids(SpanProcessor):
    """Wants whole spans."""


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("s")


def listen(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics, *others: SpanProcessor, sampler: Sampler | None = None
) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = Recorder(Resource({}), [metrics.spans, *others], sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def turn() -> None:
    """What storage does in one, with a lock that is busy and a read that breaks."""
    with get_span(SCOPE) as span:
        note_cache(span, "miss")
    with lock_span(SCOPE) as span:
        note_lock(span, "busy")
    with put_span(SCOPE, 700):
        pass
    for error in (RuntimeError("secret"), ThreadBusyError("secret"), GraphInterrupt("secret")):
        with pytest.raises(type(error)), get_span(SCOPE):
            raise error


async def counted(metrics: Metrics) -> dict[tuple[tuple[str, str], ...], float]:
    found = families((await metrics.page()).text)
    return {tuple(sorted(line.labels.items())): line.value for line in lines(found, CALLS)}


async def test_they_count_as_whole_spans_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, kind, status and labels; a wait that a person ends is no failure."""
    told = []
    for others in ([], [Ids()]):
        metrics = Metrics("s")
        listen(monkeypatch, metrics, *others)
        kind = type(get_span(SCOPE))
        turn()
        told.append((kind, await counted(metrics)))
    (leaf, as_leaves), (whole, as_spans) = told
    assert (leaf, whole) == (CountedLeaf, LiveSpan)
    assert as_leaves == as_spans
    assert sum(as_leaves.values()) == 6
    assert sum(n for labels, n in as_leaves.items() if ("status_code", "STATUS_CODE_ERROR") in labels) == 2


def begun_below(parent: SpanContext | None) -> AnySpan:
    context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    token = attach(context)
    try:
        return get_span(SCOPE)
    finally:
        detach(token)


@pytest.fixture(params=[ALWAYS_ON, ALWAYS_OFF], ids=["sampled", "unsampled"])
def sampler(request: pytest.FixtureRequest) -> Sampler:
    return request.param  # type: ignore[no-any-return]  # pytest's own type says nothing


def test_a_trace_that_leaves_has_them_whole(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics, sampler: Sampler
) -> None:
    """One that stays has leaves."""
    exporter = listen(monkeypatch, metrics, sampler=sampler)
    with open_span("invoke_agent", {}), get_span(SCOPE) as span:
        pass
    names = [one.name for one in exporter.get_finished_spans()]
    assert names == (["checkpoint.get", "invoke_agent"] if sampler is ALWAYS_ON else [])
    assert isinstance(span, CountedLeaf) is (sampler is ALWAYS_OFF)


@pytest.mark.parametrize("parent", [None, SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(0))])
def test_a_trace_that_begins_with_one_is_the_samplers_to_choose(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics, parent: SpanContext | None
) -> None:
    """Also where somebody else's trace goes on here."""
    exporter = listen(monkeypatch, metrics, sampler=ALWAYS_ON)
    begun_below(parent).end()
    assert [one.name for one in exporter.get_finished_spans()] == ["checkpoint.get"]


async def test_the_first_end_counts(monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> None:
    """As with every span."""
    listen(monkeypatch, metrics)
    leaf = get_span(SCOPE)
    leaf.fail("late")
    leaf.end()
    leaf.end(RuntimeError())
    [(labels, count)] = (await counted(metrics)).items()
    assert count == 1
    assert ("status_code", "STATUS_CODE_ERROR") in labels


async def test_what_comes_after_the_end_is_not_told(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    """As with every span: it is counted as it ended."""
    listen(monkeypatch, metrics)
    leaf = get_span(SCOPE)
    leaf.end()
    leaf.fail("late")
    leaf.note({"agentflow.cache.result": "hit"})
    [labels] = await counted(metrics)
    assert ("status_code", "STATUS_CODE_UNSET") in labels
    assert "agentflow_cache_result" not in dict(labels)


async def test_a_span_that_says_nonsense_breaks_nobodys_work(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    """An agent's own may say anything; it is counted as far as it can be, and others whole."""
    listen(monkeypatch, metrics)
    with open_span("chat odd", {"gen_ai.request.model": ["a", "b"]}):
        pass
    with open_span("chat odder", {"gen_ai.request.model": Odder()}):
        pass
    for _ in range(200):
        get_span(SCOPE).end()
    found = families((await metrics.page()).text)
    of_storage = [line.value for line in lines(found, CALLS) if line.labels["span_name"] == "checkpoint.get"]
    assert of_storage == [200]
    [odd] = [line for line in lines(found, CALLS) if line.labels["span_name"] == "chat odd"]
    assert odd.labels["gen_ai_request_model"] == "['a', 'b']"
    dropped = {line.labels["what"]: line.value for line in lines(found, "agentflow_telemetry_dropped_total")}
    assert dropped["counts"] == 1


async def test_counts_of_many_threads_are_exact(monkeypatch: pytest.MonkeyPatch, metrics: Metrics) -> None:
    """Whoever counts at a moment, and whoever asks meanwhile."""
    listen(monkeypatch, metrics)

    def work() -> None:
        for _ in range(1000):
            get_span(SCOPE).end()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        await counted(metrics)
    assert list((await counted(metrics)).values()) == [8000]


class Odder(str):
    """No value of any use."""

    __slots__ = ()

    def __hash__(self) -> int:
        raise RuntimeError("no")

    __eq__ = str.__eq__


class Ending(Mapping[str, Any]):
    """Attributes that end spans when they are looked at, as a collection of garbage may at any time."""

    def __getitem__(self, key: str) -> Any:
        for _ in range(100):
            get_span(SCOPE).end()
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


async def test_spans_may_end_while_spans_are_counted(
    monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    """They wait for the next time: nobody waits for itself."""
    listen(monkeypatch, metrics)
    open_leaf("odd", Ending()).end()
    for _ in range(64):
        get_span(SCOPE).end()
    assert sum((await counted(metrics)).values()) == 1 + 64 + 100 * 6
