"""The client and a real service, over connections that hold and some that do not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.client import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RunFailedError,
    ValidationError,
)
from agentflow.core.state import Message
from tests.support import databases
from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, running_api
from tests.support.client_faces import FACES, Face, opened
from tests.support.cutting_proxy import CuttingProxy
from tests.support.run import ROOT

HOSTED = f"{AGENTS},tools=agentflow_hosting.agents.tools:graph"


@pytest.fixture(scope="module")
def agents_api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """An API that hosts the tests' agents."""
    servers, template = request.getfixturevalue("servers"), request.getfixturevalue("template")
    name = databases.new_name("client")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        with running_api(url, servers.redis_url, AGENTFLOW_AGENTS=HOSTED, PYTHONPATH=str(ROOT)) as api:
            yield api
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def owner(agents_api: Api) -> TenantKey:
    return agents_api.tenant()


@pytest.fixture
def proxy(agents_api: Api) -> Iterator[CuttingProxy]:
    with CuttingProxy(agents_api.port) as made:
        yield made


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest, proxy: CuttingProxy, owner: TenantKey) -> Iterator[Face]:
    with opened(request.param, proxy.base_url, owner.key, agent="echo") as made:
        yield made


def said(messages: list[Any]) -> list[str]:
    return [message.text() for message in messages]


def test_a_conversation(face: Face) -> None:
    """Invoke, read, list, delete."""
    result = face(lambda c: c.invoke("hi", config={"thread_name": "first"}))
    thread_id = result.thread_id
    assert (result.text(), result.meta.is_new_thread) == ("echo: hi", True)
    assert result.state.execution_meta.status == "completed"
    again = face(
        lambda c: c.invoke([Message.text_message("you")], thread_id=thread_id, response_granularity="low")
    )
    assert (again.text(), again.state, again.meta.is_new_thread) == ("echo: you", None, False)
    assert face(lambda c: c.threads.get(thread_id)).thread_name == "first"
    assert [found.thread_id for found in face.each(lambda c: c.threads.list())] == [thread_id]
    whole = ["hi", "echo: hi", "you", "echo: you"]
    assert said(face(lambda c: c.threads.state(thread_id)).context) == whole
    assert said(face.all(lambda c: c.threads.messages(thread_id, page_size=3))) == whole
    assert face(lambda c: c.threads.delete(thread_id)).success
    with pytest.raises(NotFoundError) as caught:
        face(lambda c: c.threads.get(thread_id))
    assert caught.value.request_id
    assert face.all(lambda c: c.threads.list()) == []


def test_the_graph(face: Face) -> None:
    """Its shape; another agent has another one."""
    assert {node.id for node in face(lambda c: c.graph.get()).nodes} == {"__start__", "MAIN", "__end__"}
    waits = face(lambda c: c.with_agent("waits").graph.get())
    assert {node.id for node in waits.nodes} >= {"FIRST", "SECOND"}
    assert face(lambda c: c.ping()) == "pong"
    with pytest.raises(NotFoundError):
        face(lambda c: c.with_agent("nobody").graph.get())


def test_pages_of_a_long_thread(face: Face) -> None:
    """Every message once, in order."""
    for number in range(5):
        face(lambda c, number=number: c.invoke(f"{number}", thread_id="t"))  # type: ignore[misc]
    whole = face.all(lambda c: c.threads.messages("t", page_size=100))
    assert len(whole) == 10
    assert face.all(lambda c: c.threads.messages("t", page_size=5)) == whole


def test_an_invoke_whose_answer_is_lost(face: Face, proxy: CuttingProxy) -> None:
    """It is sent again, and there is one run: of answers that were swallowed, or cut in the middle."""
    proxy.cuts += [0, 300]
    assert face(lambda c: c.invoke("hi", thread_id="t")).text() == "echo: hi"
    assert proxy.done == 2
    assert said(face.all(lambda c: c.threads.messages("t"))) == ["hi", "echo: hi"]


@pytest.mark.parametrize("granularity", ["low", "full"])
def test_a_stream_that_is_cut_again_and_again(face: Face, proxy: CuttingProxy, granularity: str) -> None:
    """Wherever that happens, every chunk comes once, and the run is one."""
    whole = face.all(lambda c: c.stream("hi", thread_id="t0", response_granularity=granularity))
    assert [chunk.seq for chunk in whole] == list(range(len(whole)))
    for number, size in enumerate((0, 100, 700, 1100, 1600), 1):
        proxy.cuts += [size, size, size + 300]
        thread_id = f"t{number}"
        got = face.all(
            lambda c: c.stream("hi", thread_id=thread_id, response_granularity=granularity)  # noqa: B023
        )
        assert [chunk.seq for chunk in got] == list(range(len(whole)))
        assert [chunk.event for chunk in got] == [chunk.event for chunk in whole]
        proxy.cuts.clear()
        assert said(face.all(lambda c: c.threads.messages(thread_id))) == ["hi", "echo: hi"]  # noqa: B023
    assert proxy.done >= 5


def test_runs_are_followed(face: Face) -> None:
    """A stream's run is a resource: found, listed, read again from any chunk, joined."""
    chunks = face.all(lambda c: c.runs.stream("t", "hi", metadata={"a": 1}))
    run_id = chunks[0].run_id
    run = face(lambda c: c.runs.get("t", run_id))
    assert (run.status, run.is_over, run.metadata, run.agent) == ("success", True, {"a": 1}, "echo")
    assert face.all(lambda c: c.runs.rejoin("t", run_id)) == chunks
    assert face.all(lambda c: c.runs.rejoin("t", run_id, after=chunks[0].seq)) == chunks[1:]
    joined = face(lambda c: c.runs.join("t", run_id))
    assert (joined.run.run_id, joined.result.text()) == (run_id, "echo: hi")
    face.all(lambda c: c.stream("more", thread_id="t"))
    listed = face.all(lambda c: c.runs.list("t", page_size=1))
    assert [found.run_id for found in listed][1:] == [run_id]
    assert {found.run_id for found in face.all(lambda c: c.runs.list(status="success"))} == {
        found.run_id for found in listed
    }
    with pytest.raises(ConflictError) as caught:
        face(lambda c: c.runs.cancel("t", run_id))
    assert caught.value.code == "RUN_OVER"


def test_a_run_is_cancelled(face: Face, tmp_path: Path) -> None:
    """Its stream ends with it, at the node's end."""
    running, go = pipes(tmp_path)
    options = {"thread_id": "t", "response_granularity": "full"}
    stream = face.each(lambda c: c.with_agent("waits").stream(f"{running}|{go}", **options))
    run_id = next(stream).run_id
    assert running.read_text() == "running"
    assert face(lambda c: c.runs.cancel("t", run_id)).cancel == "interrupt"
    go.write_text("on")
    texts = [chunk.message.text() for chunk in stream if chunk.event == "message"]
    assert "second" not in texts
    assert face(lambda c: c.runs.join("t", run_id)).run.status == "cancelled"


def test_a_background_run_waits(face: Face) -> None:
    """Made, then cancelled before anybody worked on it; the same key makes the same one."""
    ask = {"after_s": 3600, "idempotency_key": "once"}
    run = face(lambda c: c.runs.create("t", "hi", **ask))
    assert (run.status, run.kind) == ("pending", "background")
    assert face(lambda c: c.runs.create("t", "hi", **ask)).run_id == run.run_id
    with pytest.raises(ValidationError) as reused:
        face(lambda c: c.runs.create("t", "other", **ask))
    assert reused.value.code == "IDEMPOTENCY_KEY_REUSED"
    with pytest.raises(ConflictError) as busy:
        face(lambda c: c.runs.create("t", "hi", multitask_strategy="reject"))
    assert busy.value.code == "RUN_CONFLICT"
    assert face(lambda c: c.runs.cancel("t", run.run_id, wait=True)).is_over


def test_tools_run_here(face: Face) -> None:
    """The agent asks, this side answers, the agent uses it."""
    tools = {"get_time": lambda tz: f"noon in {tz}"}
    result = face(lambda c: c.with_agent("tools").run_tools("what time is it?", tools))
    assert result.text() == "tool said: noon in UTC"


def test_a_pause_is_answered(face: Face) -> None:
    """`resume`, with anything as the answer."""
    asks = face(lambda c: c.with_agent("asks").invoke("hi", thread_id="t"))
    assert asks.state.execution_meta.interrupt_data["interrupts"][0]["value"] == {"question": "really?"}
    assert face(lambda c: c.with_agent("asks").invoke(thread_id="t", resume="yes")).text() == "you said yes"


def test_failures_by_class(face: Face, agents_api: Api) -> None:
    """Of the agent, of the request, of the credential."""
    with pytest.raises(RunFailedError) as broken:
        face(lambda c: c.with_agent("breaks").invoke("hi"))
    assert broken.value.code == "NODE_EXECUTION"
    with pytest.raises(RunFailedError) as endless:
        face(lambda c: c.with_agent("loops").invoke("hi", recursion_limit=3))
    assert endless.value.code.startswith("GRAPH_RECURSION")
    with pytest.raises(ValidationError) as invalid:
        face(lambda c: c.invoke([]))
    assert invalid.value.details[0]["loc"] == ["body", "messages"]
    for key, kind in (("af_live_x", AuthenticationError), (agents_api.tenant(scopes=()).key, ForbiddenError)):
        for face_kind in FACES:
            with opened(face_kind, agents_api.base_url, key) as other, pytest.raises(kind):
                other.all(lambda c: c.threads.list())


def test_what_a_run_did(face: Face) -> None:
    """The latest run or the one asked for, as typed spans and events; one that is none is None."""
    thread_id = face(lambda c: c.invoke("hi")).thread_id
    face(lambda c: c.invoke("you", thread_id=thread_id))
    seen = face(lambda c: c.threads.observe(thread_id))
    assert (seen.thread_id, seen.run_count, len(seen.run_ids)) == (thread_id, 2, 2)
    assert (seen.run.run_id, seen.run.status) == (seen.run_ids[0], "completed")
    known = {span.span_id for span in seen.run.spans}
    [root] = [span for span in seen.run.spans if span.parent_span_id not in known]
    assert root.started_at <= root.finished_at
    assert any(span.parent_span_id == root.span_id for span in seen.run.spans)
    assert all(event.attributes for event in seen.run.events)
    usage = seen.run.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (0, 0, 0)
    assert seen.run.iterations == 1
    first = face(lambda c: c.threads.observe(thread_id, run_id=seen.run_ids[1]))
    assert first.run.run_id == seen.run_ids[1]
    assert face(lambda c: c.threads.observe(thread_id, run_id="none")).run is None
    with pytest.raises(NotFoundError):
        face(lambda c: c.threads.observe("nobody's"))
