"""What was said stands in a model's span where its operator asked for it, and only there."""

import json
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agentflow.core.graph import ToolNode
from agentflow.core.graph.run_spans import CAPTURE_VARIABLE
from agentflow.core.state import Message
from agentflow.utils import span_names as names
from tests.integration.agent.test_agent import agent_of, app_of
from tests.support.openai_stub import OpenAIStub, Reply

SAID, ANSWERED, LOOKED_UP = "what-the-user-said", "what-the-model-said", "what-the-tool-said"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


async def look_up(_word: str) -> str:
    """Look a word up."""
    return LOOKED_UP


async def conversation(told: InMemorySpanExporter, *, stream: bool = False) -> list[ReadableSpan]:
    """A turn with a tool: every span it left."""
    with OpenAIStub() as stub:
        stub.script += [Reply(calls=[("look_up", {"_word": "x"})]), Reply(ANSWERED)]
        tools = ToolNode([look_up])
        app = app_of(agent_of(stub, tools=tools), tools)
        asked = {"messages": [Message.text_message(SAID)]}
        if stream:
            assert [chunk async for chunk in app.astream(asked, {"thread_id": "t"})]
        else:
            await app.ainvoke(asked, {"thread_id": "t"})
        await app.aclose()
    return list(told.get_finished_spans())


def holding(spans: list[ReadableSpan], word: str) -> set[str]:
    """Names of the spans that hold it anywhere."""
    return {span.name for span in spans if word in span.to_json()}


@pytest.mark.parametrize("stream", [False, True])
async def test_content_by_choice(
    told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    """Both sides of each question to the model, in the standard's form; no other span has a word of it."""
    monkeypatch.setenv(CAPTURE_VARIABLE, "SPAN_ONLY" if stream else "true")
    spans = await conversation(told, stream=stream)
    for word in (SAID, ANSWERED, LOOKED_UP):
        assert holding(spans, word) == {"chat some-model"}
    first, second = [dict(span.attributes or {}) for span in spans if span.name == "chat some-model"]
    user = {"role": "user", "parts": [{"type": "text", "content": SAID}]}
    assert json.loads(str(first[names.INPUT_MESSAGES])) == [user]
    [called] = json.loads(str(first[names.OUTPUT_MESSAGES]))
    assert (called["role"], called["finish_reason"]) == ("assistant", "tool_calls")
    [call] = called["parts"]
    assert call == {"type": "tool_call", "id": call["id"], "name": "look_up", "arguments": {"_word": "x"}}
    asked, again, result = json.loads(str(second[names.INPUT_MESSAGES]))
    assert (asked, again) == (user, {"role": "assistant", "parts": [call]})
    response = {"type": "tool_call_response", "id": call["id"], "response": LOOKED_UP}
    assert result == {"role": "tool", "parts": [response]}
    assert json.loads(str(second[names.OUTPUT_MESSAGES])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": ANSWERED}], "finish_reason": "stop"}
    ]


@pytest.mark.parametrize("chosen", [None, "", "false", "1", "yes", "no_content", "event_only"])
async def test_no_content_otherwise(
    told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    """Not set, or set to anything but true: no word in any span."""
    monkeypatch.delenv(CAPTURE_VARIABLE, raising=False)
    if chosen is not None:
        monkeypatch.setenv(CAPTURE_VARIABLE, chosen)
    spans = await conversation(told)
    assert "chat some-model" in {span.name for span in spans}
    for word in (SAID, ANSWERED, LOOKED_UP):
        assert holding(spans, word) == set()
