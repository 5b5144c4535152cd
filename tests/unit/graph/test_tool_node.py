"""Tool calls: what is run, what the model is told, what pauses. No model: the calls are written by hand."""

import asyncio
import dataclasses
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from agentflow.core.graph import StateGraph, ToolNode
from agentflow.core.graph.tool_node import route_tools
from agentflow.core.state import (
    AgentState,
    Message,
    RemoteToolCallBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
)
from agentflow.errors import GraphDefinitionError, NodeTimeoutError
from agentflow.utils import END, Command, interrupt
from agentflow.utils.constants import RAW_ARGUMENTS

T = {"thread_id": "t"}


def asking(*calls: tuple[str, dict[str, Any]]) -> Message:
    blocks = [ToolCallBlock(id=f"c{i}", name=name, args=args) for i, (name, args) in enumerate(calls)]
    return Message(role="assistant", content=list(blocks))


def graph_of(tools: ToolNode, *calls: tuple[str, dict[str, Any]]) -> StateGraph[AgentState]:
    """MAIN asks for the calls on a user's message, and says "done" on their results."""

    def main(state: AgentState) -> Message:
        if state.context[-1].role == "user":
            return asking(*calls)
        return Message.text_message("done", role="assistant")

    graph = StateGraph().add_node("MAIN", main).add_node("TOOL", tools)
    graph.set_entry_point("MAIN").add_edge("TOOL", "MAIN")
    return graph.add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END])


async def run(tools: ToolNode, *calls: tuple[str, dict[str, Any]], **config: Any) -> list[ToolResultBlock]:
    app = graph_of(tools, *calls).compile()
    answer = await app.ainvoke({"messages": [Message.text_message("go")]}, T | config)
    return results_of(answer)


def results_of(answer: dict[str, Any]) -> list[ToolResultBlock]:
    return [result for message in answer["messages"] for result in message.tool_results()]


def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


async def test_calls_are_answered_one_message_each_in_their_order() -> None:
    """Async and blocking tools together; the one that ends first does not come first."""
    second_done = asyncio.Event()

    async def first() -> str:
        await second_done.wait()
        return "first"

    async def second() -> dict[str, str]:
        second_done.set()
        return {"n": "zweite ✓"}

    app = graph_of(ToolNode([first, second, add]), ("first", {}), ("second", {}), ("add", {"a": 2})).compile()
    answer = await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    messages = [message for message in answer["messages"] if message.role == "tool"]
    assert [len(message.content) for message in messages] == [1, 1, 1]
    assert [(r.call_id, r.output, r.status, r.is_error) for r in results_of(answer)] == [
        ("c0", "first", "completed", False),
        ("c1", {"n": "zweite ✓"}, "completed", False),
        ("c2", 3, "completed", False),
    ]


async def test_runtime_parameters_are_injected() -> None:
    """A tool gets the state, the config and its call's id; the model could not have given them."""
    seen: dict[str, Any] = {}

    def look(word: str, state: AgentState, config: dict[str, Any], tool_call_id: str) -> str:
        seen.update(state=state, config=config, id=tool_call_id)
        return word

    [result] = await run(ToolNode([look]), ("look", {"word": "x"}), user_id="u-1")
    assert result.output == "x"
    assert seen["state"].context[0].text() == "go"
    assert seen["config"]["user_id"] == "u-1"
    assert seen["id"] == "c0"
    [refused] = await run(ToolNode([look]), ("look", {"word": "x", "tool_call_id": "forged"}))
    assert refused.is_error
    assert "tool_call_id" in refused.output


class Weather(BaseModel):
    city: str
    degrees: float


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("output", "data"),
    [
        ("ünïcödé 🙂", "ünïcödé 🙂"),
        (None, None),
        ([1, "a", {"b": None}], [1, "a", {"b": None}]),
        (Weather(city="Oslo", degrees=-3.5), {"city": "Oslo", "degrees": -3.5}),
        ([Point(1)], [{"x": 1}]),
        (Message.text_message("said"), "said"),
        ([TextBlock(text="a"), TextBlock(text="b")], "a\nb"),
    ],
)
async def test_outputs_become_data(output: Any, data: Any) -> None:
    """Text, JSON data, models, dataclasses, messages and content blocks."""

    def give() -> Any:
        return output

    [result] = await run(ToolNode([give]), ("give", {}))
    assert (result.output, result.status) == (data, "completed")


@pytest.mark.parametrize(
    "output", [object(), float("nan"), "half \ud800", b"\xff", {"deep": [object()]}, Command(goto="MAIN")]
)
async def test_an_output_that_is_no_data_is_a_failure_the_model_hears_of(output: Any) -> None:
    """The run goes on; nothing half-encoded is stored."""

    def give() -> Any:
        return output

    [result] = await run(ToolNode([give]), ("give", {}))
    assert (result.is_error, result.status) == (True, "failed")
    assert "tool" in result.output


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("add", {"a": "many"}), "add: a: Input should be a valid integer"),
        (("add", {}), "a: Field required"),
        (("add", {"a": 1, "c": 2}), "c: Extra inputs are not permitted"),
        (("add", {RAW_ARGUMENTS: '{"a": 1'}), "not valid JSON"),
        (("subtract", {}), "no tool 'subtract'. Known tools: add, ask"),
    ],
)
async def test_a_call_that_does_not_fit_tells_the_model_what_to_change(
    call: tuple[str, dict[str, Any]], told: str
) -> None:
    """Bad arguments, arguments that were no JSON, a tool that is not there: failed results, no error."""
    [result] = await run(ToolNode([add], [{"name": "ask"}]), call)
    assert (result.call_id, result.is_error, result.status) == ("c0", True, "failed")
    assert told in result.output


async def test_arguments_are_coerced_to_the_types_of_the_signature() -> None:
    """A model that writes "2" for 2 is understood, nested models are made."""

    def warm(weather: Weather, by: float) -> float:
        return weather.degrees + by

    [result] = await run(ToolNode([warm]), ("warm", {"weather": {"city": "Oslo", "degrees": "1"}, "by": "2"}))
    assert result.output == 3.0


async def test_what_a_tool_raises_is_a_failed_result_and_the_others_finish() -> None:
    """Also when its text cannot be stored as it is, and when something inside it was cancelled."""

    def fails() -> None:
        raise LookupError("no such city \ud800")

    async def inner_cancel() -> None:
        raise asyncio.CancelledError

    async def own_timeout() -> None:
        raise TimeoutError("upstream was slow")

    calls = [("fails", {}), ("inner_cancel", {}), ("own_timeout", {}), ("add", {"a": 1})]
    results = await run(ToolNode([fails, inner_cancel, own_timeout, add]), *calls)
    assert [result.output for result in results] == [
        "LookupError: no such city ?",
        "Tool inner_cancel was cancelled.",
        "TimeoutError: upstream was slow",
        2,
    ]


async def test_a_tool_over_its_time_is_a_failed_result() -> None:
    """Async and blocking; the result says how long it may take."""
    release = threading.Event()

    async def hangs() -> None:
        await asyncio.Event().wait()

    def blocks() -> None:
        release.wait(30)

    try:
        results = await run(ToolNode([hangs, blocks, add]), ("hangs", {}), ("blocks", {}), tool_timeout=0.05)
    finally:
        release.set()
    assert [result.output for result in results] == [
        "Tool hangs took longer than 0.05 s.",
        "Tool blocks took longer than 0.05 s.",
    ]


async def test_the_end_of_the_node_ends_its_tools() -> None:
    """A node timeout cancels the tools that run, and is no tool's failure."""
    ended = asyncio.Event()

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(NodeTimeoutError):
        await run(ToolNode([hangs]), ("hangs", {}), node_timeout=0.05)
    assert ended.is_set()


async def test_calls_that_have_a_result_are_not_run_again() -> None:
    """Only what is pending since the user last spoke."""
    ran: list[int] = []

    def count(n: int) -> int:
        ran.append(n)
        return n

    def call(call_id: str, n: int) -> ToolCallBlock:
        return ToolCallBlock(id=call_id, name="count", args={"n": n})

    state = AgentState(
        context=[
            Message(role="assistant", content=[call("old", 0)]),
            Message.text_message("never mind"),
            Message(role="assistant", content=[call("a", 1), call("b", 2)]),
            Message.tool_message([ToolResultBlock(call_id="a", output=1)]),
        ]
    )
    answers = await ToolNode([count])(state, {})
    assert isinstance(answers, list)
    assert [message.tool_results()[0].call_id for message in answers] == ["b"]
    assert ran == [2]
    assert await ToolNode([count])(AgentState(), {}) == []


# --- tools of the client ------------------------------------------------------------------------

CLOCK = {"name": "clock", "description": "The client's clock.", "parameters": {"type": "object"}}


async def test_a_remote_tool_ends_the_run_and_its_result_starts_the_next() -> None:
    """Local tools of the same answer run first; the last message asks the client."""
    app = graph_of(ToolNode([add], [CLOCK]), ("clock", {"tz": "UTC"}), ("add", {"a": 4})).compile()
    answer = await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    assert answer["meta"]["status"] == "completed"
    assert [result.output for result in results_of(answer)] == [5]
    last = answer["messages"][-1]
    assert last.role == "tool"
    assert last.content == [RemoteToolCallBlock(id="c0", name="clock", args={"tz": "UTC"})]

    reply = Message.tool_message([ToolResultBlock(call_id="c0", output="12:00")])
    answer = await app.ainvoke({"messages": [reply]}, T)
    assert answer["messages"][-1].text() == "done"


async def test_remote_calls_wait_at_the_client_and_not_at_the_tool_node() -> None:
    """With one of two remote results back, routing does not send the run round the tools for the other."""
    app = graph_of(ToolNode([], [CLOCK]), ("clock", {"tz": "a"}), ("clock", {"tz": "b"})).compile()
    await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    reply = Message.tool_message([ToolResultBlock(call_id="c0", output="12:00")])
    answer = await app.ainvoke({"messages": [reply]}, T)
    assert [message.text() for message in answer["messages"]] == ["12:00", "done"]


async def test_a_remote_call_without_valid_arguments_never_reaches_the_client() -> None:
    """The model is told, as for a local tool."""
    [result] = await run(ToolNode([], [CLOCK]), ("clock", {RAW_ARGUMENTS: "{"}))
    assert result.is_error


# --- pauses -------------------------------------------------------------------------------------


async def test_a_tool_may_ask_a_person() -> None:
    """The run pauses in the tool; resumed, it runs again from its start with the answer."""
    tries: list[str] = []

    def refund(amount: int) -> str:
        tries.append("asked")
        return f"refunded {amount}: {interrupt({'approve': amount})}"

    app = graph_of(ToolNode([refund]), ("refund", {"amount": 9})).compile()
    paused = await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    assert paused["meta"]["status"] == "interrupted_before"
    answer = await app.ainvoke({"resume": "yes"}, T)
    assert [result.output for result in results_of(answer)] == ["refunded 9: yes"]
    assert len(tries) == 2


async def test_what_finished_beside_a_pause_is_kept_and_never_runs_again() -> None:
    """An approval must not send the mail twice that another tool sent meanwhile."""
    sent: list[str] = []

    def mail() -> str:
        sent.append("mail")
        return "sent"

    def approve(what: str) -> str:
        return f"{what}: {interrupt(what)}"

    app = graph_of(ToolNode([mail, approve]), ("approve", {"what": "a"}), ("mail", {})).compile()
    await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    state = await app.aget_state(T)
    assert state is not None
    assert [m.tool_results()[0].output for m in state.context if m.role == "tool"] == ["sent"]
    answer = await app.ainvoke({"resume": "yes"}, T)
    assert answer["messages"][-1].text() == "done"
    assert results_of(answer)[0].output == "a: yes"
    assert sent == ["mail"]


async def test_each_answer_reaches_the_tool_that_asked() -> None:
    """Two tools ask at once, the second one quicker, and one asks twice: no approval crosses over."""
    quick_asked = asyncio.Event()

    async def slow() -> str:
        await quick_asked.wait()
        return f"slow: {interrupt('slow 1')}, {interrupt('slow 2')}"

    async def quick() -> str:
        quick_asked.set()
        return f"quick: {interrupt('quick')}"

    app = graph_of(ToolNode([slow, quick]), ("slow", {}), ("quick", {})).compile()
    answer = await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    asked = []
    results: list[Any] = []
    for _ in range(3):
        state = await app.aget_state(T)
        assert state is not None
        [pause] = (state.execution_meta.interrupt_data or {})["interrupts"]
        asked.append(pause["value"])
        answer = await app.ainvoke({"resume": f"re {pause['value']}"}, T)
        results += [result.output for result in results_of(answer)]
    assert asked == ["slow 1", "slow 2", "quick"]
    assert results == ["slow: re slow 1, re slow 2", "quick: re quick"]
    assert answer["messages"][-1].text() == "done"


async def test_a_pause_comes_before_the_client_is_asked() -> None:
    """A remote call beside a tool that pauses is handed over once, after the answer."""

    def approve() -> str:
        return str(interrupt("ok?"))

    app = graph_of(ToolNode([approve], [CLOCK]), ("clock", {}), ("approve", {})).compile()
    paused = await app.ainvoke({"messages": [Message.text_message("go")]}, T)
    assert not any(message.remote_tool_calls() for message in paused["messages"])
    answer = await app.ainvoke({"resume": "yes"}, T)
    assert [result.output for result in results_of(answer)] == ["yes"]
    assert answer["messages"][-1].remote_tool_calls()[0].name == "clock"


# --- definitions --------------------------------------------------------------------------------


def test_two_tools_of_one_name_are_refused() -> None:
    """Local or remote: the model could not tell them apart."""
    with pytest.raises(GraphDefinitionError, match="add"):
        ToolNode([add, add])
    with pytest.raises(GraphDefinitionError, match="add"):
        ToolNode([add], [{"name": "add"}])


def test_tools_are_described_with_their_source() -> None:
    """As `GET /v1/graph/tools` lists them."""
    described = ToolNode([add], [CLOCK]).describe()
    assert [(tool["name"], tool["source"], tool["description"]) for tool in described] == [
        ("add", "local", "Add two numbers."),
        ("clock", "remote", "The client's clock."),
    ]
