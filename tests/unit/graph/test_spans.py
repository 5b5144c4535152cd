"""What a run tells whoever listens with OpenTelemetry, and that it costs nobody else anything."""

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentflow.core.graph import StateGraph, ToolNode
from agentflow.core.state import AgentState, Message, ToolCallBlock
from agentflow.core.state.message import TokenUsages
from agentflow.errors import NodeError
from agentflow.storage.checkpointer import InMemoryCheckpointer, Scope
from agentflow.utils import END, START, interrupt
from agentflow.utils import span_names as names
from agentflow_telemetry import names as telemetry_names

WITHOUT_OPENTELEMETRY = """
import sys
sys.modules["opentelemetry"] = None
from agentflow.core.graph import StateGraph
from agentflow.core.state import AgentState, Message
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils import END
def answer(state: AgentState) -> Message:
    return Message.text_message("there", role="assistant")
graph = StateGraph().add_node("MAIN", answer).set_entry_point("MAIN").add_edge("MAIN", END)
app = graph.compile(InMemoryCheckpointer())
print(app.invoke({"messages": "hi"}, {"thread_id": "t"})["messages"][-1].text())
"""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Everything that is recorded in this test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


async def answer(_state: AgentState) -> Message:
    usages = TokenUsages(prompt_tokens=5, completion_tokens=2, total_tokens=7)
    return Message.text_message("secret", role="assistant").model_copy(update={"usages": usages})


async def fail(_state: AgentState) -> Message:
    raise RuntimeError("secret")


async def ask(_state: AgentState) -> Message:
    return Message.text_message(str(interrupt("secret")), role="assistant")


def app(**nodes: Any) -> Any:
    """A chain of nodes."""
    graph = StateGraph()
    order = list(nodes)
    for name, node in nodes.items():
        graph.add_node(name, node)
    for one, following in zip([START, *order], [*order, END], strict=True):
        graph.add_edge(one, following)
    return graph.compile(InMemoryCheckpointer())


def named(told: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in told.get_finished_spans()}


def test_without_opentelemetry_everything_works() -> None:
    """Not installed, nothing is missed; and the library never imports it by itself."""
    for before in ("", "import sys; sys.modules['opentelemetry.trace'] = None\n"):
        done = subprocess.run(
            [sys.executable, "-c", before + WITHOUT_OPENTELEMETRY],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.stdout, done.returncode) == ("there\n", 0), done.stderr


async def test_a_run_and_its_nodes(told: InMemorySpanExporter) -> None:
    """One span a run, one a node below it; with ids, steps, versions and tokens, without what was said."""
    given = {"thread_id": "t", "run_id": "r"}
    await app(A=answer, B=answer).ainvoke({"messages": "secret"}, given)
    spans = named(told)
    assert set(spans) == {"invoke_agent", "node A", "node B"}
    run = spans["invoke_agent"]
    said: Any = run.attributes
    assert said[names.OPERATION] == "invoke_agent"
    assert (said[names.CONVERSATION], said[names.RUN]) == ("t", "r")
    assert (said[names.TENANT], said[names.PLACEMENT]) == (str(uuid.UUID(int=0)), "pool")
    assert (said[names.STATUS], said[names.STEPS], said[names.CHECKPOINT]) == ("completed", 2, 3)
    assert (said[names.TOKENS_IN], said[names.TOKENS_OUT]) == (10, 4)
    events: list[Any] = [event.attributes for event in run.events]
    assert [event[names.CHECKPOINT] for event in events] == [1, 2, 3]
    for step, node in enumerate("AB", 1):
        span = spans[f"node {node}"]
        assert span.attributes == {
            names.NODE: node,
            names.STEP: step,
            names.TENANT: said[names.TENANT],
            names.PLACEMENT: "pool",
            names.MODEL: "unknown",
            names.TOKENS_IN: 5,
            names.TOKENS_OUT: 2,
        }
        assert span.parent == run.context
    assert not any("secret" in span.to_json() for span in told.get_finished_spans())


async def test_an_agent_with_a_name(told: InMemorySpanExporter) -> None:
    """Names its runs, and is told with whatever they cost."""

    async def call(_state: AgentState) -> Message:
        return Message(role="assistant", content=[ToolCallBlock(id="1", name="look_up", args={})])

    def look_up() -> str:
        """Look up."""
        return "x"

    graph = StateGraph().add_node("A", call).add_node("T", ToolNode([look_up]))
    graph.add_edge(START, "A").add_edge("A", "T").add_edge("T", END)
    tenant = uuid.uuid4()
    named_app = graph.compile(InMemoryCheckpointer(), name="helper")
    scope = Scope(tenant, placement=1000)
    await named_app.ainvoke({"messages": "hi"}, {"thread_id": "t", "scope": scope})
    spans = named(told)
    for name in ("invoke_agent helper", "execute_tool look_up"):
        said: Any = spans[name].attributes
        assert (said[names.AGENT], said[names.TENANT]) == ("helper", str(tenant))
        assert said[names.PLACEMENT] == "dedicated"


async def test_what_a_client_says_it_spent_is_not_counted(told: InMemorySpanExporter) -> None:
    """Tokens are those of messages that the run's own nodes made."""
    usages = TokenUsages(prompt_tokens=1000, completion_tokens=1000, total_tokens=2000)
    said = Message.text_message("hi").model_copy(update={"usages": usages})
    await app(A=answer).ainvoke({"messages": [said]}, {"thread_id": "t"})
    run: Any = named(told)["invoke_agent"].attributes
    assert (run[names.TOKENS_IN], run[names.TOKENS_OUT]) == (5, 2)


async def test_a_tool_below_its_node(told: InMemorySpanExporter) -> None:
    """By name, with the call's id; one that raises is an error; what it was given and said is not told."""

    async def call(_state: AgentState) -> Message:
        calls = [
            ToolCallBlock(id=f"call-{number}\0", name="look_up", args={"word": word})
            for number, word in enumerate(["secret", "broken-secret"])
        ]
        return Message(role="assistant", content=calls)

    def look_up(word: str) -> str:
        """Look up a word."""
        if word.startswith("broken"):
            raise RuntimeError(word)
        return word

    await app(A=call, T=ToolNode([look_up])).ainvoke({"messages": "hi"}, {"thread_id": "t"})
    spans = told.get_finished_spans()
    node = named(told)["node T"]
    tools = [span for span in spans if span.name == "execute_tool look_up"]
    assert [span.parent for span in tools] == [node.context, node.context]
    said: list[Any] = [span.attributes for span in tools]
    assert {one[names.TOOL_CALL] for one in said} == {"call-0\ufffd", "call-1\ufffd"}
    assert sorted(span.status.is_ok or span.status.is_unset for span in tools) == [False, True]
    assert not any("secret" in span.to_json() for span in spans)


async def test_failures_and_pauses(told: InMemorySpanExporter) -> None:
    """A failure is told by its code; a pause is none."""
    with pytest.raises(NodeError):
        await app(A=fail).ainvoke({"messages": "hi"}, {"thread_id": "t"})
    for span in told.get_finished_spans():
        assert not span.status.is_unset
        said: Any = span.attributes
        assert said[names.ERROR] == NodeError.code
        assert "secret" not in span.to_json()
    told.clear()
    await app(A=ask).ainvoke({"messages": "hi"}, {"thread_id": "t"})
    spans = named(told)
    assert all(span.status.is_unset for span in spans.values())
    run: Any = spans["invoke_agent"].attributes
    assert run[names.STATUS] == "interrupted_before"


async def test_a_cancelled_run_ends_its_spans(told: InMemorySpanExporter) -> None:
    """Each of them, as errors."""
    running = asyncio.Event()

    async def hang(_state: AgentState) -> Message:
        running.set()
        await asyncio.Event().wait()
        raise AssertionError

    run = asyncio.create_task(app(A=hang).ainvoke({"messages": "hi"}, {"thread_id": "t"}))
    await running.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await asyncio.sleep(0)
    assert set(named(told)) == {"invoke_agent", "node A"}
    assert not any(span.status.is_unset for span in told.get_finished_spans())
    said: Any = named(told)["invoke_agent"].attributes
    assert said[names.STATUS] == "cancelled"


async def test_spans_stand_below_who_called(told: InMemorySpanExporter) -> None:
    """Also through the blocking face, which runs in another thread; and what a node makes below the node."""
    tracer = trace.get_tracer("mine")

    async def node(_state: AgentState) -> Message:
        with tracer.start_as_current_span("inside"):
            return Message.text_message("x", role="assistant")

    def called() -> None:
        with tracer.start_as_current_span("outside"):
            app(A=node).invoke({"messages": "hi"}, {"thread_id": "t"})

    await asyncio.to_thread(called)
    spans = named(told)
    assert spans["invoke_agent"].parent == spans["outside"].context
    assert spans["inside"].parent == spans["node A"].context


def test_names_agree() -> None:
    """What the service hides is what the library tells."""
    assert telemetry_names.CONVERSATION == names.CONVERSATION
