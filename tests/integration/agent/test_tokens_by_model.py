"""Tokens stand in one span, by model and tenant: of an agent, of a node that asks by itself, of both."""

from typing import Any

import pytest

from agentflow.core.graph import StateGraph
from agentflow.core.graph.model_tokens import SEVERAL, UNKNOWN
from agentflow.core.state import AgentState, Message, TokenUsages
from agentflow.storage.checkpointer import InMemoryCheckpointer, Scope
from agentflow.utils import END
from agentflow.utils import span_names as names
from agentflow_telemetry import Metrics
from tests.integration.agent.test_agent import agent_of, app_of
from tests.support.openai_stub import OpenAIStub, Reply
from tests.support.spans import families, lines
from tests.support.telling import Told, telling

T = {"thread_id": "t"}


def said(into: int, out: int, **more: Any) -> Message:
    usages = TokenUsages(prompt_tokens=into, completion_tokens=out, total_tokens=into + out)
    return Message.text_message("x", role="assistant").model_copy(update={"usages": usages, **more})


def app_with(node: Any) -> Any:
    graph = StateGraph().add_node("OWN", node).set_entry_point("OWN").add_edge("OWN", END)
    return graph.compile(InMemoryCheckpointer(), name="own")


def tokens(told: Told) -> dict[str, tuple[object, object, object]]:
    """By span, but for the run's own sums: model, tokens in and out."""
    asked = (names.MODEL, names.TOKENS_IN, names.TOKENS_OUT)
    return {
        span.name: tuple((span.attributes or {}).get(name) for name in asked)  # type: ignore[misc]
        for span in told.spans
        if not span.name.startswith(names.RUN_SPAN) and names.TOKENS_IN in (span.attributes or {})
    }


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([said(5, 2, metadata={"model": "own-model"})], ("own-model", 5, 2)),
        ([said(5, 2, raw={"model": "own-model"})], ("own-model", 5, 2)),
        ([said(5, 2)], (UNKNOWN, 5, 2)),
        ([said(5, 2, metadata={"model": ["not", "a", "name"]})], (UNKNOWN, 5, 2)),
        ([said(5, 2, metadata={"model": "a"}), said(1, 1, metadata={"model": "a"})], ("a", 6, 3)),
        ([said(5, 2, metadata={"model": "a"}), said(1, 1, metadata={"model": "b"})], (SEVERAL, 6, 3)),
        ([said(-5, 2, metadata={"model": "a"})], ("a", 0, 2)),
    ],
)
async def test_a_node_that_asks_by_itself(
    monkeypatch: pytest.MonkeyPatch, answers: list[Message], found: tuple[object, ...]
) -> None:
    """Its span has the sum, the model where it is one, and whose it is."""

    async def own(_state: AgentState) -> list[Message]:
        return answers

    scope = Scope()
    with telling(monkeypatch) as told:
        await app_with(own).ainvoke({"messages": "hi"}, {**T, "scope": scope})
    assert tokens(told) == {"node OWN": found}
    assert told.said("node OWN", names.TENANT) == [str(scope.tenant_id)]
    assert told.said("node OWN", names.AGENT) == ["own"]


async def test_an_agents_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the model's own span, and not by its node's."""
    with OpenAIStub() as stub, telling(monkeypatch) as told:
        stub.script += [Reply("there")]
        app = app_of(agent_of(stub))
        await app.ainvoke({"messages": "hi"}, T)
        await app.aclose()
    assert tokens(told) == {"chat some-model": ("some-model", 11, 7)}


async def test_a_node_that_does_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model's span has is taken off; an edited message and one of no model count nothing."""
    with OpenAIStub() as stub, telling(monkeypatch) as told:
        stub.script += [Reply("there")]
        agent = agent_of(stub)

        async def both(state: AgentState) -> list[Message]:
            asked = await agent(state, {})
            return [state.context[0], asked, said(3, 1, metadata={"model": "other-model"})]

        first = said(100, 100).model_copy(update={"role": "user"})
        await app_with(both).ainvoke({"messages": [first]}, T)
        await agent.aclose()
    assert tokens(told) == {"chat some-model": ("some-model", 11, 7), "node OWN": ("other-model", 3, 1)}


async def test_they_are_counted_by_tenant_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the page for Prometheus tells them."""

    async def own(_state: AgentState) -> Message:
        return said(5, 2, metadata={"model": "own-model"})

    metrics = Metrics("s")
    with telling(monkeypatch) as told:
        for _ in range(2):
            await app_with(own).ainvoke({"messages": "hi"}, T)
    for span in told.spans:
        metrics.spans.on_end(span)
    found = lines(families((await metrics.page()).text), "agentflow_tokens_total")
    by_kind = {
        one.labels["gen_ai_token_type"]: (one.labels["gen_ai_request_model"], one.value) for one in found
    }
    assert by_kind == {"input": ("own-model", 10), "output": ("own-model", 4)}
