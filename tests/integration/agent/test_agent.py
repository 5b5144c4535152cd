"""An agent against an endpoint that speaks the protocol: whole runs, streaming, refusals, event loops."""

import asyncio
import gc
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from agentflow.core.graph import Agent, CompiledGraph, StateGraph, ToolNode
from agentflow.core.graph.chunks import StreamEvent
from agentflow.core.graph.tool_node import route_tools
from agentflow.core.state import AgentState, ErrorBlock, Message, TokenUsages, ToolResultBlock
from agentflow.errors import ConfigurationError, ExecutionError, GraphDefinitionError, NodeError
from agentflow.storage.checkpointer import InMemoryCheckpointer
from agentflow.utils import END
from tests.support.openai_stub import OpenAIStub, Reply

T = {"thread_id": "t"}
HELLO = {"messages": [Message.text_message("hello")]}
KEY = "sk-test-5f1e8a"


@pytest.fixture
def stub() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


def agent_of(stub: OpenAIStub, **options: Any) -> Agent:
    return Agent("some-model", **{"base_url": stub.base_url, "api_key": KEY, **options})


def app_of(agent: Agent, tools: ToolNode | None = None) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("MAIN", agent).set_entry_point("MAIN")
    if tools is None:
        return graph.add_edge("MAIN", END).compile(InMemoryCheckpointer())
    graph.add_node("TOOL", tools).add_edge("TOOL", "MAIN")
    graph.add_conditional_edges("MAIN", route_tools("TOOL"), ["TOOL", END])
    return graph.compile(InMemoryCheckpointer())


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def failing() -> str:
    """Fail."""
    raise LookupError("nothing there")


# --- turns --------------------------------------------------------------------------------------


async def test_a_conversation_with_tools(stub: OpenAIStub) -> None:
    """The model asks for tools, sees results and failures in order, and answers; all of it is kept."""
    stub.script += [
        Reply("Let me see.", calls=[("add", {"a": 2, "b": "3"}), ("failing", {})], reasoning="Numbers."),
        Reply("Five 🙂"),
        Reply("You had five."),
    ]
    tools = ToolNode([add, failing])
    app = app_of(agent_of(stub, tools=tools, temperature=0.2), tools)
    answer = await app.ainvoke(HELLO, T)
    assert [(message.role, message.text()) for message in answer["messages"]] == [
        ("user", "hello"),
        ("assistant", "Let me see."),
        ("tool", ""),
        ("tool", "LookupError: nothing there"),
        ("assistant", "Five 🙂"),
    ]
    asked = answer["messages"][1]
    assert asked.reasoning == "Numbers."
    assert asked.metadata == {"provider": "openai", "model": "some-model", "finish_reason": "tool_calls"}
    assert asked.tools_calls[0]["function"] == {"name": "add", "arguments": '{"a": 2, "b": "3"}'}
    assert answer["messages"][-1].usages == TokenUsages(
        prompt_tokens=11,
        completion_tokens=7,
        total_tokens=18,
        reasoning_tokens=3,
        cache_read_input_tokens=5,
    )

    await app.ainvoke({"messages": [Message.text_message("What was it?")]}, T)
    first, second, third = stub.asked
    assert first.key == KEY
    assert first.body["model"] == "some-model"
    assert first.body["temperature"] == 0.2
    assert [tool["function"]["name"] for tool in first.body["tools"]] == ["add", "failing"]
    assert second.messages[1:] == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": asked.tools_calls},
        {"role": "tool", "tool_call_id": "call_0", "content": "5"},
        {"role": "tool", "tool_call_id": "call_1", "content": "LookupError: nothing there"},
    ]
    assert [message["role"] for message in third.messages] == [
        "user", "assistant", "tool", "tool", "assistant", "user",
    ]  # fmt: skip


async def test_prompts_and_the_summary_come_first_and_are_not_stored(stub: OpenAIStub) -> None:
    """In text, as a mapping or as a message, in their order."""
    prompts = ["Be brief.", {"role": "system", "content": "Be kind."}, Message.text_message("Go.", "system")]
    app = app_of(agent_of(stub, system_prompt=prompts))
    await app.ainvoke(HELLO | {"state": {"context_summary": "They met."}}, T)
    assert [message["content"] for message in stub.asked[0].messages] == [
        "Be brief.",
        "Be kind.",
        "Go.",
        "Summary of the conversation so far: They met.",
        "hello",
    ]
    state = await app.aget_state(T)
    assert state is not None
    assert [message.text() for message in state.context] == ["hello", "You said: hello"]


async def test_the_model_can_correct_arguments_that_were_no_json(stub: OpenAIStub) -> None:
    """What it wrote is kept, shown to it again as it wrote it, with a result that says what was wrong."""
    broken = '{"a": 1, "b": '
    stub.script += [Reply(calls=[("add", broken)]), Reply(calls=[("add", {"a": 1, "b": 2})]), Reply("3")]
    tools = ToolNode([add])
    answer = await app_of(agent_of(stub, tools=tools), tools).ainvoke(HELLO, T)
    assert answer["messages"][-1].text() == "3"
    retried = stub.asked[1].messages
    assert retried[1]["tool_calls"][0]["function"]["arguments"] == broken
    assert "not valid JSON" in retried[2]["content"]


async def test_a_tool_of_the_client_goes_round_through_the_client(stub: OpenAIStub) -> None:
    """The model asks, the run ends, the client's result starts the next, the model sees it."""
    stub.script += [Reply(calls=[("clock", {"tz": "UTC"})]), Reply("It is noon.")]
    tools = ToolNode([], [{"name": "clock", "description": "Time.", "parameters": {"type": "object"}}])
    app = app_of(agent_of(stub, tools=tools), tools)
    asked = await app.ainvoke(HELLO, T)
    [call] = asked["messages"][-1].remote_tool_calls()
    reply = Message.tool_message([ToolResultBlock(call_id=call.id, output={"time": "12:00"})])
    answer = await app.ainvoke({"messages": [reply]}, T)
    assert answer["messages"][-1].text() == "It is noon."
    assert [message["role"] for message in stub.asked[1].messages] == ["user", "assistant", "tool"]
    assert stub.asked[1].messages[2]["content"] == '{"time": "12:00"}'


async def test_calls_without_ids_of_their_own_get_some(stub: OpenAIStub) -> None:
    """Endpoints that leave ids out or repeat them: each call still meets its own result."""
    calls = [("add", {"a": n, "b": 0}) for n in (1, 2, 3)]
    stub.script += [Reply(calls=calls, ids=["", "same", "same"]), Reply("ok")]
    tools = ToolNode([add])
    await app_of(agent_of(stub, tools=tools), tools).ainvoke(HELLO, T)
    assert [message["content"] for message in stub.asked[1].messages[2:]] == ["1", "2", "3"]
    assert len({message["tool_call_id"] for message in stub.asked[1].messages[2:]}) == 3


async def test_a_refusal_and_a_cut_answer_are_answers(stub: OpenAIStub) -> None:
    """With the reason in the metadata."""
    stub.script += [Reply(refusal="I will not."), Reply("To be cont", finish_reason="length")]
    app = app_of(agent_of(stub))
    refused = (await app.ainvoke(HELLO, T))["messages"][-1]
    assert refused.content == [ErrorBlock(message="I will not.", code="refusal")]
    cut = (await app.ainvoke(HELLO, T))["messages"][-1]
    assert (cut.text(), cut.metadata["finish_reason"]) == ("To be cont", "length")


@pytest.mark.parametrize("usage", [None, {"total_tokens": 3}])
async def test_an_endpoint_may_count_little(stub: OpenAIStub, usage: dict[str, Any] | None) -> None:
    """No usage, or not all of it."""
    stub.script.append(Reply("ok", usage=usage))
    answer = await app_of(agent_of(stub)).ainvoke(HELLO, T)
    expected = None if usage is None else TokenUsages(total_tokens=3)
    assert answer["messages"][-1].usages == expected


# --- streaming ----------------------------------------------------------------------------------


async def stream(app: CompiledGraph[AgentState]) -> list[Message]:
    chunks = [chunk async for chunk in app.astream(HELLO, T)]
    return [chunk.message for chunk in chunks if chunk.event is StreamEvent.MESSAGE and chunk.message]


async def test_a_stream_gives_deltas_and_then_the_whole(stub: OpenAIStub) -> None:
    """All under one id; joined they are the whole, which alone is stored."""
    stub.script.append(Reply("Grüße aus Oslo 🙂", reasoning="Hm."))
    app = app_of(agent_of(stub))
    user, *deltas, whole = await stream(app)
    assert (user.role, user.delta) == ("user", False)
    assert len(deltas) == 4
    assert all(delta.delta and delta.message_id == whole.message_id for delta in deltas)
    assert "".join(delta.text() for delta in deltas) == whole.text() == "Grüße aus Oslo 🙂"
    assert (whole.delta, whole.reasoning) == (False, "Hm.")
    assert whole.usages is not None
    assert whole.usages.total_tokens == 18
    state = await app.aget_state(T)
    assert state is not None
    assert [message.message_id for message in state.context] == [user.message_id, whole.message_id]


async def test_deltas_come_while_the_model_still_speaks(stub: OpenAIStub) -> None:
    """The second answer is held back until the first one's deltas were read."""
    second = threading.Event()
    stub.script += [Reply("one two", calls=[("add", {"a": 1, "b": 1})]), Reply("three", held=second)]
    tools = ToolNode([add])
    said = []
    async for chunk in app_of(agent_of(stub, tools=tools), tools).astream(HELLO, T):
        if chunk.message is not None and chunk.message.delta:
            said.append(chunk.message.text())
        if said == ["one ", "two"]:
            second.set()
    assert said == ["one ", "two", "three"]


async def test_streamed_calls_are_put_together_by_their_index(stub: OpenAIStub) -> None:
    """Pieces of two calls arrive interleaved."""
    stub.script += [Reply(calls=[("add", {"a": 1, "b": 2}), ("add", {"a": 30, "b": 40})]), Reply("ok")]
    tools = ToolNode([add])
    messages = await stream(app_of(agent_of(stub, tools=tools), tools))
    assert [result.output for message in messages for result in message.tool_results()] == [3, 70]
    assert messages[-1].text() == "ok"


def piece(index: int | None, call_id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


@pytest.mark.parametrize(
    "deltas",
    [
        [
            piece(0, "x", "add", '{"a": 1,'),
            piece(0, "x", "add", ' "b": 2}'),
            piece(0, "y", "add", '{"a": 3, "b": 4}'),
        ],
        [
            piece(None, "x", "add", '{"a": 1,'),
            piece(None, None, None, ' "b": 2}'),
            piece(None, "y", "add", '{"a": 3, "b": 4}'),
        ],
        [piece(0, "x", "add", '{"a": 1, "b": 2}'), piece(1, None, "add", '{"a": 3, "b": 4}')],
    ],
    ids=["all with index 0", "no index", "no id"],
)
async def test_streamed_calls_of_loose_endpoints(stub: OpenAIStub, deltas: list[dict[str, Any]]) -> None:
    """Names and ids repeated, indexes wrong or missing: still two calls."""
    stub.script += [Reply(deltas=deltas, finish_reason="tool_calls"), Reply("ok")]
    tools = ToolNode([add])
    messages = await stream(app_of(agent_of(stub, tools=tools), tools))
    assert [result.output for message in messages for result in message.tool_results()] == [3, 7]


async def test_a_character_cut_in_half_is_mended(stub: OpenAIStub) -> None:
    """Its halves come in two chunks; nobody is shown half of it, and a half alone spoils nothing."""
    stub.script.append(Reply(deltas=[{"content": "a\ud83d"}, {"content": "\ude00b"}, {"content": "\ud83d"}]))
    *_, first, second, whole = await stream(app_of(agent_of(stub)))
    assert [first.text(), second.text(), whole.text()] == ["a", "😀b", "a😀b�"]


async def test_an_answer_that_breaks_off_fails_the_run(stub: OpenAIStub) -> None:
    """Half an answer is never kept as a whole one; the run can be tried again."""
    stub.script.append(Reply("one two three", cut=2))
    app = app_of(agent_of(stub, max_retries=0))
    with pytest.raises(NodeError):
        await stream(app)
    answer = await app.ainvoke(None, T)
    assert answer["messages"][-1].text() == "You said: hello"


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500])
async def test_calls_that_fail_for_the_moment_are_tried_again(stub: OpenAIStub, status: int) -> None:
    """As often as `max_retries` says, then the endpoint's word is the run's error."""
    stub.script += [Reply(status=status), Reply("at last"), Reply(status=status), Reply(status=status)]
    app = app_of(agent_of(stub, max_retries=1))
    assert (await app.ainvoke(HELLO, T))["messages"][-1].text() == "at last"
    with pytest.raises(NodeError, match="scripted refusal") as caught:
        await app.ainvoke(HELLO, T)
    assert isinstance(caught.value.__cause__, openai.APIStatusError)
    assert caught.value.__cause__.status_code == status
    assert len(stub.asked) == 4


async def test_no_error_shows_the_key(stub: OpenAIStub) -> None:
    """Not even of an endpoint that quotes it."""
    agent = agent_of(stub)
    stub.script.append(Reply(status=401, error=f"{KEY} is not a good key"))
    app = app_of(agent)
    with pytest.raises(NodeError, match="is not a good key") as caught:
        await app.ainvoke(HELLO, T)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in repr(agent)
    state = await app.aget_state(T)
    assert KEY not in repr(state)


async def test_a_key_that_cannot_be_sent_is_refused_without_quoting_it(stub: OpenAIStub) -> None:
    """A line end around it does no harm: files end in one."""
    with pytest.raises(NodeError) as caught:
        await app_of(agent_of(stub, api_key=f"{KEY}\n{KEY}")).ainvoke(HELLO, T)
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    await app_of(agent_of(stub, api_key=f"{KEY}\n")).ainvoke(HELLO, T)
    assert stub.asked[-1].key == KEY


async def test_an_answer_without_choices_is_an_error(stub: OpenAIStub) -> None:
    """Plain and streamed."""
    stub.script += [Reply(choices=False), Reply(choices=False)]
    app = app_of(agent_of(stub))
    with pytest.raises(NodeError) as caught:
        await app.ainvoke(HELLO, T)
    assert isinstance(caught.value.__cause__, ExecutionError)
    with pytest.raises(NodeError):
        await stream(app)


async def test_an_endpoint_that_is_not_there(stub: OpenAIStub) -> None:
    """The client's own error is the cause."""
    with OpenAIStub() as gone:
        agent = agent_of(gone, max_retries=0)
    with pytest.raises(NodeError) as caught:
        await app_of(agent).ainvoke(HELLO, T)
    assert isinstance(caught.value.__cause__, openai.APIConnectionError)


async def test_a_slow_endpoint_is_given_up(stub: OpenAIStub) -> None:
    """After `timeout_s`."""
    held = threading.Event()
    stub.script.append(Reply("late", held=held))
    try:
        with pytest.raises(NodeError) as caught:
            await app_of(agent_of(stub, timeout_s=0.1, max_retries=0)).ainvoke(HELLO, T)
    finally:
        held.set()
    assert isinstance(caught.value.__cause__, openai.APITimeoutError)


# --- keys, settings, definitions ----------------------------------------------------------------


async def test_where_the_key_comes_from(stub: OpenAIStub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's key goes to provider openai only; other endpoints need none."""
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    await app_of(agent_of(stub, api_key=None)).ainvoke(HELLO, T)
    await app_of(agent_of(stub, api_key=None, provider="local")).ainvoke(HELLO, T)
    assert [asked.key for asked in stub.asked] == ["from-environment", "none"]
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(NodeError, match="pass api_key or set OPENAI_API_KEY"):
        await app_of(Agent("some-model")).ainvoke(HELLO, T)


def test_settings_that_contradict_are_refused_at_once() -> None:
    """With what to do instead."""
    with pytest.raises(ConfigurationError, match="base_url"):
        Agent("m", provider="somebody")
    with pytest.raises(ConfigurationError, match="not both"):
        Agent("m", tools=[add], tool_node="TOOL")
    with pytest.raises(ConfigurationError, match="messages, stream"):
        Agent("m", stream=True, messages=[])


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the graph is built, not in a run."""
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ImportError, match=r"agentflow\[openai\]"):
        Agent("m")


async def test_a_tool_node_may_be_named(stub: OpenAIStub) -> None:
    """Each graph gives the agent its own node of that name."""
    agent = agent_of(stub, tool_node="TOOL")

    def other() -> None:
        """Do."""

    for tools in (ToolNode([add]), ToolNode([other])):
        await app_of(agent, tools).ainvoke(HELLO, T)
    assert [asked.body["tools"][0]["function"]["name"] for asked in stub.asked] == ["add", "other"]
    with pytest.raises(GraphDefinitionError, match="TOOL"):
        app_of(agent)
    with pytest.raises(ConfigurationError, match="compiled graph"):
        await agent(AgentState(), {})


# --- event loops --------------------------------------------------------------------------------


def test_one_agent_serves_several_event_loops(stub: OpenAIStub) -> None:
    """The blocking face, then two loops of the program's own: each with connections that work there."""
    app = app_of(agent_of(stub))
    for _ in range(2):
        app.invoke(HELLO, T)
        asyncio.run(app.ainvoke(HELLO, T))
    background, first, background_again, second = (asked.port for asked in stub.asked)
    assert background == background_again, "a connection is kept as long as its loop"
    assert len({background, first, second}) == 3


async def test_closing_frees_connections_and_the_next_call_opens_new_ones(stub: OpenAIStub) -> None:
    """Twice is no error."""
    agent = agent_of(stub)
    app = app_of(agent)
    await app.ainvoke(HELLO, T)
    await agent.aclose()
    await agent.aclose()
    await app.ainvoke(HELLO, T)
    first, second = stub.asked
    assert first.port != second.port
    await agent.aclose()


def test_a_dropped_agent_leaves_no_connection_behind() -> None:
    """Also in the loop of the blocking calls, which runs on, and where the endpoint hung up first."""
    with OpenAIStub() as stub:
        app_of(agent_of(stub)).invoke(HELLO, T)
    with OpenAIStub() as stub:
        app_of(agent_of(stub)).invoke(HELLO, T)
        gc.collect()
        assert stub.hung_up(1)


_PROGRAM = """
import asyncio, sys
from agentflow.core.graph import Agent, StateGraph
from agentflow.core.state import Message
from agentflow.utils import END

agent = Agent("some-model", base_url=sys.argv[1], api_key="key")
app = StateGraph().add_node("MAIN", agent).set_entry_point("MAIN").add_edge("MAIN", END).compile()
hello = {"messages": [Message.text_message("hello")]}

async def streamed():
    return [chunk async for chunk in app.astream(hello, {"thread_id": "t"})]

asyncio.run(app.ainvoke(hello, {"thread_id": "t"}))
asyncio.run(streamed())
print(app.invoke(hello, {"thread_id": "t"})["messages"][-1].text())
"""


def test_a_program_ends_without_a_warning(stub: OpenAIStub) -> None:
    """No socket or task is left to the collector, whichever face was used."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _PROGRAM, stub.base_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "You said: hello", "")
