"""What is sent, and what comes of the answer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from agentflow.client import (
    AgentFlowClient,
    AsyncAgentFlowClient,
    ConnectionFailedError,
    ImportResult,
    InvokeResult,
    ThreadState,
    TimedOutError,
    TooManyRoundsError,
    UnreadableAnswerError,
    awaiting,
    blocking,
)
from agentflow.core.state import Message, RemoteToolCallBlock
from agentflow.errors import InvalidIdError, InvalidInputError
from tests.support.client_faces import FACES, Face, opened
from tests.support.scripted_api import NDJSON, Asked, Reply, ScriptedApi, ok

MESSAGE = {"message_id": "m", "role": "assistant", "content": [{"type": "text", "text": "hello"}]}
RUN = {
    "run_id": "r", "thread_id": "t", "agent": "echo", "kind": "background", "status": "pending",
    "created_at": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
INVOKED = {
    "messages": [MESSAGE],
    "state": {
        "context": [MESSAGE],
        "execution_meta": {"status": "completed", "new": 1},
        "facts": {"name": "Alex"},
    },
    "context": None,
    "summary": None,
    "meta": {"is_new_thread": True, "thread_id": "t"},
}
DONE = {"success": True, "message": "Done."}
GRAPH = {"info": {"node_count": 2, "edge_count": 1}, "nodes": [{"id": "a", "name": "a"}], "edges": []}
TOOLS = {"nodes": [{"node_name": "a", "tools": [{"name": "x"}]}]}
THREAD = {"thread_data": {"thread": {"thread_id": "a:b"}}}
FORKED = {"thread_id": "u", "checkpoint": 4}
GONE = {"dry_run": False, "count": 1, "deleted": 1, "thread_ids": ["a"], "more": False}
STATE: dict[str, Any] = {"state": {"context": []}}

type Ask = Callable[[Any], Any]

# One of each: what is called, the answer's data, method and path, and the body; None for none.
CALLS: list[tuple[Ask, Any, str, Any]] = [
    (lambda c: c.ping(), "pong", "GET /ping", None),
    (lambda c: c.graph.get(), GRAPH, "GET /v1/graph", None),
    (lambda c: c.graph.state_schema(), {"type": "object"}, "GET /v1/graph:StateSchema", None),
    (lambda c: c.graph.tools(), TOOLS, "GET /v1/graph/tools", None),
    (lambda c: c.graph.stop("t"), DONE, "POST /v1/graph/stop", {"thread_id": "t"}),
    (lambda c: c.graph.fix("t"), DONE | {"removed_count": 2}, "POST /v1/graph/fix", {"thread_id": "t"}),
    (lambda c: c.graph.setup([{"name": "x"}]), DONE, "POST /v1/graph/setup", {"tools": [{"name": "x"}]}),
    (lambda c: c.threads.get("a:b"), THREAD, "GET /v1/threads/a:b", None),
    (lambda c: c.threads.delete("t"), DONE, "DELETE /v1/threads/t", {"config": {}}),
    (lambda c: c.threads.state("t"), STATE, "GET /v1/threads/t/state", None),
    (
        lambda c: c.threads.update_state("t", {"a": 1}), STATE,
        "PUT /v1/threads/t/state", {"config": {}, "state": {"a": 1}},
    ),
    (lambda c: c.threads.delete_state("t"), DONE, "DELETE /v1/threads/t/state", None),
    (
        lambda c: c.threads.add_messages("t", [MESSAGE], metadata={"a": 1}), DONE,
        "POST /v1/threads/t/messages", {"config": {}, "messages": [MESSAGE], "metadata": {"a": 1}},
    ),
    (lambda c: c.threads.get_message("t", "m"), MESSAGE, "GET /v1/threads/t/messages/m", None),
    (lambda c: c.threads.delete_message("t", "m"), DONE, "DELETE /v1/threads/t/messages/m", {"config": {}}),
    (lambda c: c.threads.state_at("t", 3), STATE, "GET /v1/threads/t/history/3/state", None),
    (
        lambda c: c.threads.fork("t", 3, to_thread="u"), FORKED,
        "POST /v1/threads/t/fork", {"checkpoint": 3, "to_thread": "u"},
    ),
    (lambda c: c.threads.copy("t"), FORKED, "POST /v1/threads/t/copy", {"with_history": True}),
    (lambda c: c.threads.update("t", metadata=None), THREAD, "PATCH /v1/threads/t", {"metadata": None}),
    (
        lambda c: c.threads.delete_many(metadata={"a": 1}, dry_run=True), GONE,
        "POST /v1/threads/delete", {"metadata": {"a": 1}, "dry_run": True},
    ),
    (
        lambda c: c.threads.delete_many(ids=["a"], dry_run=False, idempotency_key="x"), GONE,
        "POST /v1/threads/delete", {"ids": ["a"], "dry_run": False},
    ),
    (
        lambda c: c.runs.create("t", [MESSAGE], after_s=5, webhook="https://x.example"), {"run": RUN},
        "POST /v1/threads/t/runs", {"messages": [MESSAGE], "config": {}, "after_s": 5, "webhook": "https://x.example"},
    ),
    (
        lambda c: c.runs.wait("t", resume=None), {"run": RUN, "result": INVOKED},
        "POST /v1/threads/t/runs/wait", {"messages": [], "config": {}, "resume": None},
    ),
    (lambda c: c.runs.get("t", "r"), {"run": RUN}, "GET /v1/threads/t/runs/r", None),
    (
        lambda c: c.runs.cancel("t", "r", action="rollback", wait=True), {"run": RUN},
        "POST /v1/threads/t/runs/r/cancel", {"action": "rollback", "wait": True},
    ),
    (lambda c: c.runs.join("t", "r"), {"run": RUN, "result": None}, "GET /v1/threads/t/runs/r/join", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "data", "route", "body"), CALLS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_call(api: ScriptedApi, face: Face, ask: Ask, data: Any, route: str, body: Any) -> None:
    """The contract's route and body, the credential; an idempotency key where it has an effect."""
    api.script += [ok(data)]
    face(ask)
    (asked,) = api.asked
    assert f"{asked.method} {asked.path}" == route
    assert (asked.json if asked.body else None) == body
    assert asked.headers["authorization"] == "Bearer secret-key"
    assert (asked.key is not None) == (asked.method == "POST" and not (body or {}).get("dry_run"))


def test_both_faces_are_the_same() -> None:
    """Each method of one is a method of the other, with the same words about it."""
    pairs = [
        (blocking.AgentFlowClient, awaiting.AsyncAgentFlowClient),
        *((getattr(blocking, name), getattr(awaiting, name)) for name in ("Threads", "Runs", "Graph")),
    ]
    for one, other in pairs:
        mine = {name for name in vars(one) if not name.startswith("_") and name != "close"}
        theirs = {name for name in vars(other) if not name.startswith("_") and name != "aclose"}
        assert mine == theirs
        assert all(getattr(one, name).__doc__ == getattr(other, name).__doc__ for name in mine)


def test_methods_say_what_they_take() -> None:
    """To `help`, too."""
    with AgentFlowClient("http://localhost") as client:
        assert client.threads.get.__name__ == "get"
        assert "a pause or a stop" in (client.invoke.__doc__ or "")
        assert client.threads.fork.__annotations__["checkpoint"] == "int"


def test_an_invoke(api: ScriptedApi, face: Face) -> None:
    """Text is a user's message; options are members of the body; the answer is typed, more in it is kept."""
    api.script += [ok(INVOKED | {"new": 1})]
    result: InvokeResult = face(
        lambda c: c.invoke(
            "hi",
            thread_id="t",
            config={"thread_name": "n"},
            recursion_limit=3,
            response_granularity="partial",
            idempotency_key="my-key",
        )
    )
    assert (result.text(), result.thread_id, result.meta.is_new_thread) == ("hello", "t", True)
    assert result.state is not None
    assert result.state.custom == {"facts": {"name": "Alex"}}
    assert result.state.execution_meta is not None
    assert result.state.execution_meta.status == "completed"
    sent = api.asked[0].json
    assert sent["messages"][0]["content"][0]["text"] == "hi"
    assert sent["config"] == {"thread_name": "n", "thread_id": "t"}
    assert (sent["recursion_limit"], sent["response_granularity"]) == (3, "partial")
    assert "idempotency_key" not in sent
    assert api.asked[0].key == "my-key"


def test_each_call_has_a_key_of_its_own(api: ScriptedApi, face: Face) -> None:
    """Two calls are two runs, also when they say the same."""
    api.script += [ok(INVOKED), ok(INVOKED)]
    for _ in range(2):
        face(lambda c: c.invoke("hi", thread_id="t"))
    assert len({asked.key for asked in api.asked}) == 2


def test_another_agent(api: ScriptedApi, face: Face) -> None:
    """Its prefix stands before every route but the ping; the client itself stays as it was."""
    api.script += [ok(INVOKED), ok("pong"), ok(GRAPH)]
    face(lambda c: c.with_agent("my echo").invoke("hi"))
    face(lambda c: c.with_agent("echo").ping())
    face(lambda c: c.graph.get())
    assert [asked.path for asked in api.asked] == ["/a/my%20echo/v1/graph/invoke", "/ping", "/v1/graph"]


def test_a_thread_without_state(api: ScriptedApi, face: Face) -> None:
    """Null is None."""
    api.script += [ok({"state": None})]
    assert face(lambda c: c.threads.state("t")) is None


def thread_page(*names: str) -> Reply:
    return ok({"threads": [{"thread_id": name} for name in names]})


def test_listings_go_over_pages(api: ScriptedApi, face: Face) -> None:
    """A page is asked for when the one before is used up; what moved to a later page comes once."""
    api.script += [thread_page("a", "b"), thread_page("b", "c"), thread_page()]
    threads = face.each(lambda c: c.threads.list(search="x", page_size=2))
    assert next(threads).thread_id == "a"
    assert len(api.asked) == 1
    assert [thread.thread_id for thread in threads] == ["b", "c"]
    assert [asked.query for asked in api.asked] == [
        {"search": "x", "offset": offset, "limit": "2"} for offset in ("0", "2", "4")
    ]


def test_pages_of_messages(api: ScriptedApi, face: Face) -> None:
    """By offset; messages that share an id are all there."""
    api.script += [ok({"messages": [MESSAGE, MESSAGE]}), ok({"messages": [MESSAGE]})]
    assert [found.text() for found in face.each(lambda c: c.threads.messages("t", page_size=2))] == [
        "hello"
    ] * 3


def test_pages_of_runs(api: ScriptedApi, face: Face) -> None:
    """By cursor, of one thread or all."""
    api.script += [
        ok({"runs": [RUN], "next_cursor": "n"}),
        ok({"runs": [], "next_cursor": None}),
        ok({"runs": []}),
    ]
    (run,) = face.all(lambda c: c.runs.list("t", status="pending", page_size=1))
    assert (run.run_id, run.is_over, run.created_at.year) == ("r", False, 2026)
    assert face.all(lambda c: c.runs.list()) == []
    assert [(asked.path, asked.query) for asked in api.asked] == [
        ("/v1/threads/t/runs", {"status": "pending", "limit": "1"}),
        ("/v1/threads/t/runs", {"status": "pending", "limit": "1", "cursor": "n"}),
        ("/v1/runs", {"limit": "100"}),
    ]


def test_pages_of_searches(api: ScriptedApi, face: Face) -> None:
    """By cursor in the body; a search has no effect, and so no key."""
    api.script += [
        ok({"threads": [{"thread_id": "a"}], "next_cursor": "n"}),
        ok({"threads": [{"thread_id": "b"}], "next_cursor": None}),
    ]
    at = datetime(2026, 1, 1, tzinfo=UTC)
    found = face.all(lambda c: c.threads.search(metadata={"a": 1}, updated_after=at, page_size=1))
    assert [thread.thread_id for thread in found] == ["a", "b"]
    asked = {"metadata": {"a": 1}, "updated_after": "2026-01-01T00:00:00Z", "sort": "-updated_at", "limit": 1}
    assert [one.json for one in api.asked] == [asked, asked | {"cursor": "n"}]
    assert {one.key for one in api.asked} == {None}


def test_pages_of_history(api: ScriptedApi, face: Face) -> None:
    """Newest first, by cursor."""
    api.script += [
        ok({"checkpoints": [{"seq": 3, "parent": 2, "node": "MAIN", "step": 1}], "next_cursor": "n"}),
        ok({"checkpoints": [{"seq": 2}], "next_cursor": None}),
    ]
    found = face.all(lambda c: c.threads.history("t", before=9, page_size=1))
    assert [(one.seq, one.parent) for one in found] == [(3, 2), (2, None)]
    assert [asked.query for asked in api.asked] == [
        {"limit": "1", "before": "9"},
        {"limit": "1", "before": "9", "cursor": "n"},
    ]


def line(message_id: str) -> str:
    return f'{{"message_id": "{message_id}", "role": "user", "content": [{{"type": "text", "text": "a"}}]}}\n'


def test_export_reads_line_by_line(api: ScriptedApi, face: Face) -> None:
    """Messages come as they are sent; where it breaks off the rest of the same version is asked for."""
    version = {"x-thread-version": "7"}
    a, b, c = (line(one) for one in "abc")
    api.script += [
        Reply(pieces=[a[:9], a[9:], b, c[:20]], content_type=NDJSON, headers=version, cut=True),
        Reply(pieces=[c], content_type=NDJSON, headers=version),
    ]
    found = face.all(lambda c: c.threads.export_messages("t"))
    assert [message.message_id for message in found] == ["a", "b", "c"]
    assert [asked.query for asked in api.asked] == [{}, {"version": "7", "offset": "2"}]
    assert {(asked.path, asked.headers["accept"]) for asked in api.asked} == {
        ("/v1/threads/t/messages", NDJSON)
    }


def test_export_from_what_names_no_version(api: ScriptedApi, face: Face) -> None:
    """There is no going on: that it broke off is said."""
    api.script += [Reply(pieces=[line("a")], content_type=NDJSON, cut=True)]
    with pytest.raises(ConnectionFailedError):
        face.all(lambda c: c.threads.export_messages("t"))


def test_import_sends_line_by_line(api: ScriptedApi, face: Face) -> None:
    """As they are read. A list is sent again when the connection fails; what is read once is not."""
    counts = {"thread_id": "t", "lines": 2, "added": 2, "skipped": 0}
    api.script += [Reply(cut=True), ok({"success": True, "message": "", "data": counts}), Reply(cut=True)]
    said = [Message.text_message(text) for text in ("a", "b\u2028c")]
    assert face(lambda c: c.threads.import_messages("t", said)) == ImportResult(**counts)
    first, second = api.asked
    assert first.path == "/v1/threads/t/messages"
    assert first.key == second.key is not None
    assert first.body == second.body
    assert [Message.model_validate_json(line) for line in second.body.split(b"\n")[:-1]] == said
    assert second.headers["content-type"] == NDJSON
    with pytest.raises(ConnectionFailedError):
        face(lambda c: c.threads.import_messages("t", (message for message in said)))
    assert api.asked[2].key is None
    assert len(api.asked) == 3


async def test_import_of_what_is_awaited(api: ScriptedApi) -> None:
    """The awaited client takes async iterators; the blocking one says that it does not."""

    async def said() -> AsyncIterator[Message]:
        for text in "ab":
            yield Message.text_message(text)

    counts = {"thread_id": "t", "lines": 2, "added": 2, "skipped": 0}
    api.script += [ok({"success": True, "message": "", "data": counts})]
    async with AsyncAgentFlowClient(api.base_url, "key") as client:
        assert (await client.threads.import_messages("t", said())).added == 2
    assert len(api.asked[0].body.splitlines()) == 2
    with AgentFlowClient(api.base_url, "key") as other, pytest.raises(InvalidInputError, match="blocks"):
        other.threads.import_messages("t", said())


@pytest.mark.parametrize("bad", ["", "  ", ".", "..", "a/b", "a?b", "a#b", "\ud800"])
def test_ids_that_would_be_another_path(api: ScriptedApi, face: Face, bad: str) -> None:
    """Refused before anything is sent: `delete("")` deletes no listing."""
    for ask in (
        lambda c: c.threads.delete(bad),
        lambda c: c.threads.get_message("t", bad),
        lambda c: c.runs.get("t", bad),
    ):
        with pytest.raises(InvalidIdError):
            face(ask)
    assert not api.asked


@pytest.mark.parametrize("name", ["tenant:user:session", "a b", "100%", "ä{}'\"", "a\\b", "~+&=@"])
def test_ids_of_all_other_kinds(api: ScriptedApi, face: Face, name: str) -> None:
    """They arrive as they are, escaped."""
    api.script += [ok({"thread_data": {"thread": {"thread_id": name}}})]
    assert face(lambda c: c.threads.get(name)).thread_id == name
    assert httpx.URL(api.base_url + api.asked[0].path).path == f"/v1/threads/{name}"


def invoke(client: Any, **options: Any) -> Any:
    return client.invoke("hi", **options)


def test_what_is_no_data_is_not_sent(api: ScriptedApi, face: Face) -> None:
    """Said with the place to look at."""
    for bad in (object(), "\ud800"):
        with pytest.raises(InvalidInputError):
            face(partial(invoke, initial_state={"x": bad}))
    for key in ("", "ä", "a\nb", "x" * 256):
        with pytest.raises(InvalidInputError):
            face(partial(invoke, idempotency_key=key))
    assert not api.asked


@pytest.mark.parametrize(
    "reply",
    [Reply(body="<html>"), Reply(body="[]"), Reply(body={"data": {}}), ok({"messages": 1}), Reply(body="")],
)
def test_answers_of_something_else(api: ScriptedApi, face: Face, reply: Reply) -> None:
    """A success that is none of this service's is said to be one."""
    api.script += [reply]
    with pytest.raises(UnreadableAnswerError, match="base_url"):
        face(lambda c: c.invoke("hi"))


@pytest.mark.parametrize("kind", FACES)
def test_no_answer_in_time(kind: str, api: ScriptedApi) -> None:
    """Said, not sent again: the caller's time is over. A join goes on waiting."""
    never = threading.Event()
    api.script += [Reply(held=never), Reply(held=never), Reply(held=never), ok({"run": RUN, "result": None})]
    with opened(kind, api.base_url, timeout_s=0.05) as face:
        with pytest.raises(TimedOutError):
            face(lambda c: c.threads.get("t"))
        assert face(lambda c: c.runs.join("t", "r")).run.run_id == "r"
    api.script[:] = [Reply(held=never)]
    with opened(kind, api.base_url) as face, pytest.raises(TimedOutError):
        face(lambda c: c.invoke("hi", timeout_s=0.05))
    never.set()


@pytest.mark.parametrize("kind", FACES)
def test_nobody_is_there(kind: str) -> None:
    """A connection error, after the tries."""
    with ScriptedApi() as gone:
        base_url = gone.base_url
    with opened(kind, base_url) as face, pytest.raises(ConnectionFailedError):
        face(lambda c: c.ping())


def call(number: int, name: str = "add", **args: Any) -> dict[str, Any]:
    block = RemoteToolCallBlock(id=f"c{number}", name=name, args=args)
    return Message.tool_message([block]).model_dump(mode="json")


def asks(*calls: dict[str, Any]) -> Reply:
    return ok(INVOKED | {"messages": list(calls), "state": None})


def results(asked: Asked) -> list[dict[str, Any]]:
    (message,) = asked.json["messages"]
    assert message["role"] == "tool"
    blocks: list[dict[str, Any]] = message["content"]
    return blocks


def test_tools_of_the_client(api: ScriptedApi, face: Face) -> None:
    """Each call is answered on the same thread, until the agent asks for none; errors are results."""
    api.script += [
        asks(call(1, a=1, b=2), call(2, "unknown"), call(3, "fails")),
        asks(call(4, a=3, b=4)),
        ok(INVOKED),
    ]

    def fails() -> None:
        raise ValueError("bad luck")

    tools = {"add": lambda a, b: {"sum": a + b}, "fails": fails}
    result = face(lambda c: c.run_tools("hi", tools, initial_state={"x": 1}, idempotency_key="mine"))
    assert result.text() == "hello"
    first, second, third = api.asked
    assert (first.key, first.json["initial_state"]) == ("mine", {"x": 1})
    assert [(found["call_id"], found["output"], found["status"]) for found in results(second)] == [
        ("c1", {"sum": 3}, "completed"),
        ("c2", "There is no tool 'unknown' here.", "failed"),
        ("c3", "ValueError: bad luck", "failed"),
    ]
    assert results(third)[0]["output"] == {"sum": 7}
    for later in (second, third):
        assert later.json["config"]["thread_id"] == "t"
        assert later.key not in (None, "mine")
        assert "initial_state" not in later.json


def test_an_agent_that_never_stops_asking(api: ScriptedApi, face: Face) -> None:
    """The last answer is with the error."""
    api.script += [asks(call(n, a=1, b=1)) for n in range(4)]
    with pytest.raises(TooManyRoundsError) as caught:
        face(lambda c: c.run_tools("hi", {"add": lambda a, b: a + b}, recursion_limit=3))
    assert caught.value.result.open_calls()[0].id == "c3"


def test_tools_to_be_awaited(api: ScriptedApi) -> None:
    """The async client awaits them; the other one says that it cannot."""

    async def add(a: int, b: int) -> int:
        await asyncio.sleep(0)
        return a + b

    with opened("awaited", api.base_url) as face:
        api.script += [asks(call(1, a=1, b=2)), ok(INVOKED)]
        face(lambda c: c.run_tools("hi", {"add": add}))
    assert results(api.asked[1])[0]["output"] == 3
    with (
        opened("blocking", api.base_url) as face,
        pytest.raises(InvalidInputError, match="AsyncAgentFlowClient"),
    ):
        face(lambda c: c.run_tools("hi", {"add": add}))
    assert len(api.asked) == 2


@pytest.fixture
def own_http() -> Iterator[httpx.Client]:
    with httpx.Client(headers={"x-mine": "1"}) as http:
        yield http


def test_a_http_client_of_the_users(api: ScriptedApi, own_http: httpx.Client) -> None:
    """It is used as it is set up, and stays open."""
    api.script += [ok("pong"), ok("pong")]
    with AgentFlowClient(api.base_url, "k", http_client=own_http) as client:
        assert client.ping() == "pong"
    assert own_http.get(f"{api.base_url}/ping").status_code == 200
    assert api.asked[0].headers["x-mine"] == "1"
    assert "authorization" not in api.asked[1].headers


def test_states_are_frozen() -> None:
    """What came is a fact."""
    with pytest.raises(ValueError, match="frozen"):
        ThreadState().context_summary = "x"  # type: ignore[misc]
