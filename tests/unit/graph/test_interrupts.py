"""Interrupts by their ids: which answer is for which, what stays pending, who came too late."""

from collections import Counter
from typing import Annotated, Any

import pytest
from pydantic import Field

from agentflow.core.graph import CompiledGraph, StateGraph
from agentflow.core.state import AgentState, Message, append_items
from agentflow.errors import (
    AmbiguousResumeError,
    EmptyInputError,
    InterruptAnsweredError,
    InvalidInputError,
    NodeError,
    NothingToResumeError,
    ResumeConflictError,
)
from agentflow.storage.checkpointer import InMemoryCheckpointer, Scope
from agentflow.utils import END, START, Command, interrupt

HELLO = {"messages": [Message.text_message("hello")]}
T = {"thread_id": "t"}
NEVER_ASKED = "int_" + "0" * 32


class Work(AgentState):
    log: Annotated[list[Any], append_items] = Field(default_factory=list)


class Panel:
    """Three nodes side by side that each ask, and a count of how often each was run."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.broken = ""
        graph = StateGraph(Work)
        for name in "xyz":
            graph.add_node(name, self.node(name)).add_edge(START, name).add_edge(name, END)
        self.store = InMemoryCheckpointer()
        self.app: CompiledGraph[Work] = graph.compile(self.store)

    def node(self, name: str) -> Any:
        def ask(state: Work) -> dict[str, Any]:
            self.calls[name] += 1
            answer = interrupt({"from": name})
            if self.broken == name:
                raise OSError("broken")
            return {"log": [[name, answer]]}

        return ask

    async def run(self, given: Any, **config: Any) -> dict[str, Any]:
        return await self.app.ainvoke(given, T | config)

    async def ids(self) -> dict[str, str]:
        """Node -> id of its pending interrupt."""
        info = await self.store.get_thread(Scope(), "t")
        assert info is not None
        return {one.node: one.id for one in info.interrupts or ()}

    async def log(self) -> list[Any]:
        state = await self.app.aget_state(T)
        assert state is not None
        return state.log


@pytest.fixture
def panel() -> Panel:
    return Panel()


def asks_twice() -> CompiledGraph[Work]:
    def ask(state: Work) -> dict[str, Any]:
        return {"log": [interrupt("first?"), interrupt("second?")]}

    return StateGraph(Work).add_node("ask", ask).set_entry_point("ask").add_edge("ask", END).compile()


def pending(result: dict[str, Any]) -> list[str]:
    return [one["id"] for one in result["meta"]["interrupts"]]


async def test_pending_interrupts_are_told_everywhere(panel: Panel) -> None:
    """In the result, the state and the thread: id, node, value, reason and time."""
    result = await panel.run(HELLO)
    told = result["meta"]["interrupts"]
    assert [(one["node"], one["value"], one["reason"]) for one in told] == [
        (name, {"from": name}, "interrupt") for name in "xyz"
    ]
    state = await panel.app.aget_state(T)
    info = await panel.store.get_thread(Scope(), "t")
    assert state is not None
    assert info is not None
    assert info.interrupts is not None
    assert info.status == "interrupted"
    assert state.execution_meta.interrupts == told == [one.as_data() for one in info.interrupts]
    assert len({one["id"] for one in told}) == 3
    assert all(one.created_at and one.created_at.tzinfo for one in info.interrupts)


async def test_what_is_not_answered_stays_as_it_is(panel: Panel) -> None:
    """Same id and time, and its node does not run again, until its own answer comes."""
    await panel.run(HELLO)
    before = {
        one["node"]: one
        for one in (await panel.run({"resume": {}, "resume_id": (await panel.ids())["y"]}))["meta"][
            "interrupts"
        ]
    }
    assert before.keys() == {"x", "z"}
    assert panel.calls == {"x": 1, "y": 2, "z": 1}
    result = await panel.run({"resume": {before["z"]["id"]: "Z"}})
    assert result["meta"]["interrupts"] == [before["x"]]
    result = await panel.run({"resume": {before["x"]["id"]: None}})
    assert result["meta"]["status"] == "completed"
    assert result["meta"]["interrupts"] == []
    assert panel.calls == {"x": 2, "y": 2, "z": 2}
    assert await panel.log() == [["x", None], ["y", {}], ["z", "Z"]]


async def test_all_at_once(panel: Panel) -> None:
    """A map may answer everything."""
    await panel.run(HELLO)
    ids = await panel.ids()
    assert (await panel.run({"resume": {one: name for name, one in ids.items()}}))["meta"][
        "status"
    ] == "completed"
    assert await panel.log() == [[name, name] for name in "xyz"]


async def test_one_value_for_several_is_refused_with_their_ids(panel: Panel) -> None:
    """Also a dict of which only some keys are ids: that is one value."""
    await panel.run(HELLO)
    ids = await panel.ids()
    for value in ("yes", None, {}, {ids["x"]: 1, "other": 2}):
        with pytest.raises(AmbiguousResumeError) as caught:
            await panel.run({"resume": value})
        assert caught.value.pending == list(ids.values())
        assert all(one in str(caught.value) for one in ids.values())
    with pytest.raises(EmptyInputError):
        await panel.run(None)
    assert await panel.ids() == ids


async def test_a_second_answer_is_refused(panel: Panel) -> None:
    """The error says what still waits; a map with one late answer is not used at all; the first counts."""
    await panel.run(HELLO)
    ids = await panel.ids()
    await panel.run({"resume": {ids["x"]: 1}})
    for again in (
        {"resume": {ids["x"]: 2}},
        {"resume": {ids["x"]: 2, ids["y"]: 2}},
        {"resume": 2, "resume_id": ids["x"]},
    ):
        with pytest.raises(InterruptAnsweredError) as caught:
            await panel.run(again)
        assert caught.value.interrupt_ids == [ids["x"]]
        assert caught.value.pending == [ids["y"], ids["z"]]
    await panel.run({"resume": {ids["y"]: 1, ids["z"]: 1}})
    with pytest.raises(InterruptAnsweredError):
        await panel.run({"resume": {ids["z"]: 2}})
    await panel.run(HELLO)
    with pytest.raises(InterruptAnsweredError):
        await panel.run({"resume": {ids["z"]: 2}})
    assert await panel.log() == [[name, 1] for name in "xyz"]


async def test_a_double_click_does_not_answer_the_next_question() -> None:
    """By its id or as a map, an answer is for its own question alone; a plain value takes whichever waits."""
    app = asks_twice()
    [first] = pending(await app.ainvoke(HELLO, T))
    [second] = pending(await app.ainvoke({"resume": {first: "yes"}}, T))
    assert second != first
    for again in ({"resume": {first: "yes"}}, {"resume": "yes", "resume_id": first}):
        with pytest.raises(InterruptAnsweredError):
            await app.ainvoke(again, T)
    assert (await app.ainvoke({"resume": "no"}, T))["meta"]["status"] == "completed"
    state = await app.aget_state(T)
    assert state is not None
    assert state.log == ["yes", "no"]


async def test_a_value_that_looks_like_a_map_has_an_id_beside_it() -> None:
    """With `resume_id` the answer is never taken for a map."""
    app = asks_twice()
    [first] = pending(await app.ainvoke(HELLO, T))
    [second] = pending(await app.ainvoke({"resume": {first: "x"}, "resume_id": first}, T))
    await app.ainvoke({"resume": {second: [1]}}, T)
    state = await app.aget_state(T)
    assert state is not None
    assert state.log == [{first: "x"}, [1]]


async def test_an_id_that_was_never_asked() -> None:
    """A conflict of its own, whatever the id looks like."""
    app = asks_twice()
    for waits in (False, True):
        for given in ({"resume": {NEVER_ASKED: 1}}, {"resume": 1, "resume_id": "no \ud800 id"}):
            with pytest.raises(ResumeConflictError) as caught:
                await app.ainvoke(given, T)
            assert caught.value.code == "INTERRUPT_NOT_PENDING"
            assert len(caught.value.pending) == waits
        if not waits:
            await app.ainvoke(HELLO, T)
    for bad in ("", 7, ["x"]):
        with pytest.raises(InvalidInputError, match="resume_id"):
            await app.ainvoke({"resume": 1, "resume_id": bad}, T)


async def test_a_question_that_a_new_turn_left_behind() -> None:
    """Its answer is refused: the question of the new turn is another."""
    app = asks_twice()
    [first] = pending(await app.ainvoke(HELLO, T))
    [other] = pending(await app.ainvoke(HELLO, T))
    with pytest.raises(ResumeConflictError) as caught:
        await app.ainvoke({"resume": {first: 1}}, T)
    assert (caught.value.code, caught.value.pending) == ("INTERRUPT_NOT_PENDING", [other])


async def test_what_was_answered_is_remembered_for_a_while() -> None:
    """Later the error is less precise, and the state has not grown."""

    def ask(state: Work) -> Command:
        interrupt(len(state.log))
        return Command(update={"log": ["."]}, goto="ask")

    store = InMemoryCheckpointer()
    app = StateGraph(Work).add_node("ask", ask).set_entry_point("ask").compile(store)
    ids = pending(await app.ainvoke(HELLO, T))
    for _ in range(40):
        ids += pending(await app.ainvoke({"resume": {ids[-1]: 1}}, T))
    assert len(set(ids)) == 41
    for late, code in ((ids[0], "INTERRUPT_NOT_PENDING"), (ids[10], "INTERRUPT_ALREADY_ANSWERED")):
        with pytest.raises(ResumeConflictError) as caught:
            await app.ainvoke({"resume": {late: 1}}, T)
        assert caught.value.code == code
    snapshot = await store.load(Scope(), "t")
    assert snapshot is not None
    assert snapshot.fields["$answered"] == ids[8:40]


@pytest.mark.parametrize("where", ["interrupt_before", "interrupt_after"])
async def test_breakpoints_have_ids_too(where: str) -> None:
    """They are passed without a value; a second click on one does not pass the next."""
    graph = StateGraph(Work)
    for name in "ab":
        graph.add_node(name, lambda state, name=name: {"log": [name]})
    graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END)
    breakpoints: dict[str, Any] = {where: ["a", "b"]}
    app = graph.compile(**breakpoints)
    first = (await app.ainvoke(HELLO, T))["meta"]["interrupts"][0]
    assert (first["node"], first["value"], first["reason"]) == ("a", None, where)
    [second] = pending(await app.ainvoke({"resume_id": first["id"]}, T))
    for again in ({"resume_id": first["id"]}, {"resume": {first["id"]: None}}):
        with pytest.raises(InterruptAnsweredError):
            await app.ainvoke(again, T)
    assert (await app.ainvoke({"resume": {second: None}}, T))["meta"]["status"] == "completed"
    with pytest.raises(InterruptAnsweredError):
        await app.ainvoke({"resume_id": second}, T)
    state = await app.aget_state(T)
    assert state is not None
    assert state.log == ["a", "b"]


async def test_an_answer_survives_what_its_node_does_with_it(panel: Panel) -> None:
    """The node fails, the rest still waits, and going on without a value uses the answer that was given."""
    await panel.run(HELLO)
    ids = await panel.ids()
    panel.broken = "y"
    with pytest.raises(NodeError):
        await panel.run({"resume": {ids["y"]: 1}})
    info = await panel.store.get_thread(Scope(), "t")
    assert info is not None
    assert info.status == "error"
    assert await panel.ids() == {name: ids[name] for name in "xz"}
    panel.broken = ""
    with pytest.raises(InterruptAnsweredError):
        await panel.run({"resume": {ids["y"]: 2}})
    assert pending(await panel.run(None)) == [ids["x"], ids["z"]]
    await panel.run({"resume": {ids["x"]: 3, ids["z"]: 3}})
    assert await panel.log() == [["x", 3], ["y", 1], ["z", 3]]
    assert panel.calls == {"x": 2, "y": 3, "z": 2}


async def test_a_value_does_not_mean_go_on() -> None:
    """A run that took its answer and is unfinished refuses another one; without a value it goes on."""
    broken = True

    def ask(state: Work) -> dict[str, Any]:
        answer = interrupt("?")
        if broken:
            raise OSError("broken")
        return {"log": [answer]}

    app = StateGraph(Work).add_node("ask", ask).set_entry_point("ask").add_edge("ask", END).compile()
    await app.ainvoke(HELLO, T)
    with pytest.raises(NodeError):
        await app.ainvoke({"resume": "yes"}, T)
    broken = False
    with pytest.raises(NothingToResumeError) as caught:
        await app.ainvoke({"resume": "yes"}, T)
    assert caught.value.unfinished
    await app.ainvoke({"resume": None}, T)
    with pytest.raises(NothingToResumeError) as caught:
        await app.ainvoke({"resume": None}, T)
    assert not caught.value.unfinished
    state = await app.aget_state(T)
    assert state is not None
    assert state.log == ["yes"]


async def test_statuses() -> None:
    """Idle when a run is over, interrupted without a question when it was stopped."""
    store = InMemoryCheckpointer()
    seen: list[str] = []

    async def look(state: Work) -> None:
        info = await store.get_thread(Scope(), "t")
        assert info is not None
        seen.append(info.status)
        await app.astop(T)

    graph = StateGraph(Work).add_node("a", look).add_node("b", look)
    app = graph.add_edge(START, "a").add_edge("a", "b").add_edge("b", END).compile(store)
    for status in ("interrupted", "idle"):
        await app.ainvoke(HELLO if status == "interrupted" else None, T)
        info = await store.get_thread(Scope(), "t")
        assert info is not None
        assert (info.status, list(info.interrupts or ())) == (status, [])
        [listed] = await store.list_threads(Scope())
        assert (listed.status, listed.interrupts) == (status, None)
    assert seen == ["running", "running"]
