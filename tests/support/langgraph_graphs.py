"""LangGraph graphs that the tests host, as users write them."""

import operator
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Send, interrupt

Builder = StateGraph[Any, Any, Any, Any]


class Chat(TypedDict, total=False):
    """A conversation, and what was counted beside it."""

    messages: Annotated[list[AnyMessage], add_messages]
    turns: int
    notes: dict[str, Any]


def answer(state: Chat) -> dict[str, Any]:
    """Says how many messages there were; calls a tool in the first turn."""
    number = len(state["messages"])
    call = {"name": "look", "args": {"at": number, "deep": [1.5, None, True]}, "id": f"call-{number}"}
    said = AIMessage(f"I have read {number}.", tool_calls=[call] if number == 1 else [])
    said.usage_metadata = {"input_tokens": number, "output_tokens": 1, "total_tokens": number + 1}
    return {"messages": [said], "turns": state.get("turns", 0) + 1}


def look(state: Chat) -> dict[str, Any]:
    """Answers the tool calls of the last message."""
    calls = getattr(state["messages"][-1], "tool_calls", [])
    return {"messages": [ToolMessage("seen", tool_call_id=call["id"]) for call in calls]}


def chat() -> Builder:
    """Two nodes a turn."""
    graph: Builder = StateGraph(Chat)
    graph.add_node("answer", answer)
    graph.add_node("look", look)
    graph.add_edge(START, "answer")
    graph.add_edge("answer", "look")
    graph.add_edge("look", END)
    return graph


class Work(TypedDict, total=False):
    """What tasks of a fan-out leave."""

    topics: list[str]
    topic: str
    found: Annotated[list[str], operator.add]
    approved: str


def fan_out() -> Builder:
    """One task a topic, then a person's word, then the end."""

    def split(state: Work) -> list[Send]:
        return [Send("research", {"topic": topic}) for topic in state["topics"]]

    def research(state: Work) -> Work:
        return {"found": [state["topic"].upper()]}

    def review(state: Work) -> Work:
        return {"approved": interrupt({"found": sorted(state["found"])})}

    graph: Builder = StateGraph(Work)
    graph.add_node("research", research)
    graph.add_node("review", review)
    graph.add_conditional_edges(START, split, ["research"])
    graph.add_edge("research", "review")
    graph.add_edge("review", END)
    return graph


def nested(*, remembers: bool = False) -> Builder:
    """A graph whose node is a graph that asks a person; with `remembers` the inner one keeps its state."""

    def ask(state: Work) -> Work:
        return {"approved": interrupt(state["topic"]), "found": ["asked"]}

    def close(state: Work) -> Work:
        return {"found": ["closed"]}

    inner: Builder = StateGraph(Work)
    inner.add_node("ask", ask)
    inner.add_node("close", close)
    inner.add_edge(START, "ask")
    inner.add_edge("ask", "close")
    inner.add_edge("close", END)
    outer: Builder = StateGraph(Work)
    outer.add_node("inner", inner.compile(checkpointer=True if remembers else None))
    outer.add_node("last", lambda state: {"found": ["last"]})
    outer.add_edge(START, "inner")
    outer.add_edge("inner", "last")
    outer.add_edge("last", END)
    return outer


def side_by_side() -> Builder:
    """A subgraph for each topic, all at once; each asks a person."""

    def split(state: Work) -> list[Send]:
        return [Send("inner", {"topic": topic}) for topic in state["topics"]]

    inner: Builder = StateGraph(Work)
    inner.add_node("ask", lambda state: {"found": [interrupt(state["topic"])]})
    inner.add_edge(START, "ask")
    inner.add_edge("ask", END)
    outer: Builder = StateGraph(Work)
    compiled = inner.compile()

    async def run(state: Work) -> Work:
        return {"found": (await compiled.ainvoke(state))["found"]}

    outer.add_node("inner", run)
    outer.add_conditional_edges(START, split, ["inner"])
    outer.add_edge("inner", END)
    return outer
