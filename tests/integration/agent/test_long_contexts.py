"""Contexts that grow too long: trimmed for a call, trimmed for good, or summarized; history stays whole."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentflow.core.graph import Agent, CompiledGraph, StateGraph, Summarizer, Trimmer
from agentflow.core.state import AgentState, Message, ToolCallBlock, ToolResultBlock, replace_messages
from agentflow.errors import ConfigurationError, ContextTooLargeError, NodeError
from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer
from agentflow.utils import END
from tests.support.openai_stub import OpenAIStub, Reply

T = {"thread_id": "t"}


@pytest.fixture
def stub() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


def agent_of(stub: OpenAIStub, **options: Any) -> Agent:
    return Agent("some-model", base_url=stub.base_url, api_key="key", **options)


def echo(state: AgentState) -> Message:
    return Message.text_message(f"You said: {state.context[-1].text()}", role="assistant")


def app_of(
    first: Any, answer: Any = echo, checkpointer: BaseCheckpointer | None = None
) -> CompiledGraph[AgentState]:
    graph = StateGraph().add_node("SHORTEN", first).add_node("MAIN", answer)
    graph.set_entry_point("SHORTEN").add_edge("SHORTEN", "MAIN").add_edge("MAIN", END)
    return graph.compile(checkpointer or InMemoryCheckpointer())


def turn(text: str) -> dict[str, Any]:
    return {"messages": [Message.text_message(text)]}


def texts(state: AgentState | None) -> list[str]:
    assert state is not None
    return [message.text() for message in state.context]


async def test_an_agent_sends_what_fits(stub: OpenAIStub) -> None:
    """The model sees the newest turn, the context keeps all."""
    agent = agent_of(stub, system_prompt="Be brief.", trim=Trimmer(max_messages=2))
    graph = StateGraph().add_node("MAIN", agent).set_entry_point("MAIN").add_edge("MAIN", END)
    app = graph.compile(InMemoryCheckpointer())
    for n in range(3):
        await app.ainvoke(turn(f"question {n}"), T)
    sent = [message["content"] for message in stub.asked[-1].messages]
    assert sent == ["Be brief.", "question 2"]
    assert len(texts(await app.aget_state(T))) == 6


async def test_an_agent_that_could_send_nothing_says_so(stub: OpenAIStub) -> None:
    """Nobody is asked."""
    graph = StateGraph().add_node("MAIN", agent_of(stub, trim=Trimmer(max_tokens=10)))
    app = graph.set_entry_point("MAIN").add_edge("MAIN", END).compile(InMemoryCheckpointer())
    with pytest.raises(NodeError) as caught:
        await app.ainvoke(turn("word " * 100), T)
    assert isinstance(caught.value.__cause__, ContextTooLargeError)
    assert stub.asked == []


@pytest.mark.parametrize("kind", ["memory", "postgres"])
async def test_a_trimming_node_and_history(kind: str, database_url: str, redis_url: str) -> None:
    """What leaves the context is in every version before; a fork from there has it again."""
    async with app_of(
        Trimmer(max_messages=3),
        checkpointer=InMemoryCheckpointer()
        if kind == "memory"
        else PgCheckpointer(database_url, redis_url=redis_url),
    ) as app:
        for n in range(4):
            await app.ainvoke(turn(f"q{n}"), T)
        assert texts(await app.aget_state(T)) == ["q2", "You said: q2", "q3", "You said: q3"]
        history = [entry.seq for entry in await app.ahistory(T)]
        versions = [texts(await app.aget_state(T, checkpoint=seq)) for seq in sorted(history)]
        assert versions[:4] == [["q0"], ["q0"], ["q0", "You said: q0"], ["q0", "You said: q0", "q1"]]
        assert ["q1", "You said: q1", "q2"] in versions
        assert {text for version in versions for text in version} >= {"q0", "q1", "q2", "q3"}
        await app.afork(T, checkpoint=3)
        assert texts(await app.aget_state(T)) == ["q0", "You said: q0"]


async def test_a_state_whose_context_is_replaced() -> None:
    """Its reducer takes no removals: it is given what stays."""

    class Replaced(AgentState):
        context: Annotated[list[Message], replace_messages] = Field(default_factory=list)

    graph = StateGraph(Replaced).add_node("TRIM", Trimmer(max_messages=2)).set_entry_point("TRIM")
    app = graph.add_edge("TRIM", END).compile(InMemoryCheckpointer())
    messages = [Message.text_message(text) for text in "abcd"]
    await app.ainvoke({"messages": messages}, T)
    assert texts(await app.aget_state(T)) == ["c", "d"]


async def test_summaries_build_on_one_another() -> None:
    """Each is made of the one before and of what leaves now, each message once."""
    asked: list[tuple[list[str], str | None]] = []

    def by(leaving: Sequence[Message], before: str | None) -> str:
        asked.append(([message.text() for message in leaving], before))
        return f"summary {len(asked)}"

    app = app_of(Summarizer(by, over_messages=4))
    for n in range(5):
        await app.ainvoke(turn(f"q{n}"), T)
    assert asked == [
        (["q0", "You said: q0", "q1", "You said: q1"], None),
        (["q2", "You said: q2", "q3", "You said: q3"], "summary 1"),
    ]
    state = await app.aget_state(T)
    assert state is not None
    assert (state.context_summary, texts(state)) == ("summary 2", ["q4", "You said: q4"])
    history = await app.ahistory(T)
    whole = [texts(await app.aget_state(T, checkpoint=entry.seq)) for entry in history]
    assert {text for version in whole for text in version} >= {f"q{n}" for n in range(5)}


async def test_an_agent_summarizes(stub: OpenAIStub) -> None:
    """It reads a transcript with calls and results, its text becomes a prompt, no reader sees it come."""
    stub.script += [Reply("They like tea."), Reply("Green."), Reply("They like green tea."), Reply("Yes.")]
    summarizer = Summarizer(agent_of(stub), over_messages=3, keep=Trimmer(max_messages=1))
    app = app_of(summarizer, agent_of(stub))
    talk = [
        Message.text_message("I like tea"),
        Message(role="assistant", content=[ToolCallBlock(id="a", name="note", args={"what": "tea"})]),
        Message.tool_message([ToolResultBlock(call_id="a", output={"ok": True})]),
        Message.text_message("Which?"),
    ]
    streamed = [chunk async for chunk in app.astream({"messages": talk}, T)]
    said = "".join(
        chunk.message.text() for chunk in streamed if chunk.message is not None and chunk.message.delta
    )
    assert said == "Green."
    request = stub.asked[0].messages[-1]["content"]
    assert (
        'user: I like tea\n\nassistant: [calls note {"what":"tea"}]\n\ntool: [result: {"ok":true}]' in request
    )
    assert "Which?" not in request
    prompts = [message["content"] for message in stub.asked[1].messages]
    assert prompts == ["Summary of the conversation so far: They like tea.", "Which?"]
    await app.ainvoke({"messages": [Message.text_message(text) for text in ("Hm.", "Sure?")]}, T)
    assert "<summary>\nThey like tea.\n</summary>" in stub.asked[2].messages[-1]["content"]


async def test_a_summarizer_that_fails_changes_nothing(stub: OpenAIStub) -> None:
    """Neither context nor summary; the next run tries again."""
    stub.script += [Reply(status=400)]
    app = app_of(Summarizer(agent_of(stub), over_messages=2))
    talk = {"messages": [Message.text_message(text) for text in "abc"]}
    with pytest.raises(NodeError):
        await app.ainvoke(talk, T)
    state = await app.aget_state(T)
    assert state is not None
    assert (state.context_summary, texts(state)) == (None, ["a", "b", "c"])
    await app.ainvoke(None, T)
    state = await app.aget_state(T)
    assert state is not None
    assert state.context_summary is not None


async def test_what_a_model_cannot_read_at_once() -> None:
    """It is given piece by piece, each with the summary of those before."""

    async def by(leaving: Sequence[Message], before: str | None) -> str:
        return f"{before or ''}{''.join(message.text() for message in leaving)}|"

    app = app_of(Summarizer(by, over_messages=5, keep=Trimmer(max_messages=1), at_once_tokens=10))
    await app.ainvoke({"messages": [Message.text_message(text) for text in "abcdef"]}, T)
    state = await app.aget_state(T)
    assert state is not None
    assert state.context_summary == "ab|cd|e|"


async def test_the_newest_exchange_is_never_summarized() -> None:
    """Also when it alone is longer than what was to be kept: the model has to answer it."""
    app = app_of(Summarizer(lambda leaving, _: f"{len(leaving)} messages", over_tokens=50))
    await app.ainvoke({"messages": [Message.text_message("short"), Message.text_message("long " * 200)]}, T)
    state = await app.aget_state(T)
    assert state is not None
    assert (state.context_summary, texts(state)[0]) == ("1 messages", "long " * 200)


@pytest.mark.parametrize("limits", [{}, {"over_tokens": 1}, {"over_messages": 0}])
def test_limits_that_are_none(limits: dict[str, Any]) -> None:
    """One at least, and room for something to stay."""
    with pytest.raises(ConfigurationError):
        Summarizer(lambda *_: "", **limits)
