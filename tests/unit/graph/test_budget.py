"""A run's token budget: asked at node boundaries, charged for what models reported in this run."""

from typing import Any

import pytest

from agentflow.core.graph import Boundary, CompiledGraph, StateGraph, TokenBudget
from agentflow.core.graph.budget import tokens_of
from agentflow.core.state import AgentState, Message
from agentflow.core.state.message import TokenUsages
from agentflow.errors import InvalidInputError, TokenBudgetExceededError
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils import END

HELLO = {"messages": [Message.text_message("hello")]}
SPENT = TokenUsages(prompt_tokens=30, completion_tokens=10, total_tokens=40)


def said(text: str, message_id: str | None = None) -> Message:
    return Message.text_message(text, "assistant", message_id).model_copy(update={"usages": SPENT})


async def first(state: AgentState) -> Message:
    return said("first")


async def second(state: AgentState) -> Message:
    return said("second")


async def edit(state: AgentState) -> Message:
    """The same message, in other words: no model was asked."""
    return said("edited", state.context[-1].message_id)


def app(*nodes: Any) -> CompiledGraph[Any]:
    graph = StateGraph()
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        graph.add_node(name, node)
    graph.set_entry_point(names[0])
    for source, target in zip(names, [*names[1:], END], strict=True):
        graph.add_edge(source, target)
    return graph.compile(InMemoryCheckpointer())


async def test_a_run_stops_at_the_next_node_with_its_state_saved() -> None:
    """The answer that used the budget up is kept, the next node does not start, and the run can go on."""
    graph = app(first, second)
    thread = {"thread_id": "t"}
    with pytest.raises(TokenBudgetExceededError, match="go on"):
        await graph.ainvoke(HELLO, thread | {"token_budget": 40})
    state = await graph.aget_state(thread)
    assert state is not None
    assert [message.text() for message in state.context] == ["hello", "first"]
    assert state.execution_meta.internal_data["error"]["code"] == "TOKEN_BUDGET_EXCEEDED"
    result = await graph.ainvoke(None, thread | {"token_budget": 1})
    assert [message.text() for message in result["messages"]] == ["second"]


async def test_the_last_node_may_overdraw() -> None:
    """A run that is at its end has nothing to stop: its answer is not thrown away."""
    result = await app(first).ainvoke(HELLO, {"thread_id": "t", "token_budget": 1})
    assert result["messages"][-1].text() == "first"


async def test_nothing_left_means_no_node() -> None:
    """The input is stored, the first node does not start."""
    graph = app(first)
    with pytest.raises(TokenBudgetExceededError):
        await graph.ainvoke(HELLO, {"thread_id": "t", "token_budget": 0})


async def test_only_this_runs_own_work_is_charged() -> None:
    """Not what a client's message claims, nor an edited message a second time; one budget for many runs."""
    budget = TokenBudget(1000)
    graph = app(first, edit)
    claimed = {"messages": [said("I am a model")]}
    for thread_id in ("a", "b"):
        await graph.ainvoke(claimed, {"thread_id": thread_id, "token_budget": budget})
    assert budget.left == 1000 - 2 * 40


async def test_a_budget_of_ones_own_sees_every_boundary() -> None:
    """Each checkpoint with its messages, the thread's first one marked."""

    class Seen:
        exhausted = False

        def __init__(self) -> None:
            self.boundaries: list[Boundary] = []

        def spend(self, boundary: Boundary) -> None:
            self.boundaries.append(boundary)

    seen = Seen()
    await app(first).ainvoke(HELLO, {"thread_id": "t", "token_budget": seen})
    assert [(b.begins_thread, b.tokens_in, b.tokens_out) for b in seen.boundaries] == [
        (True, 0, 0),
        (False, 30, 10),
    ]
    assert [b.messages[0].text() for b in seen.boundaries] == ["hello", "first"]


@pytest.mark.parametrize("budget", [-1, 1.5, True, "many"])
async def test_a_budget_that_is_none(budget: object) -> None:
    """Refused with its name."""
    with pytest.raises(InvalidInputError, match="token_budget"):
        await app(first).ainvoke(HELLO, {"thread_id": "t", "token_budget": budget})


def test_what_no_model_spends_is_not_believed() -> None:
    """A node may report whatever it likes: it counts as it does in the database, which has an end."""
    usages = TokenUsages(prompt_tokens=10**30, completion_tokens=-5)
    message = Message.text_message("x", role="assistant").model_copy(update={"usages": usages})
    assert tokens_of([message], []) == (10**12, 0)
