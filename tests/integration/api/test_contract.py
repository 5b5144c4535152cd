"""The wire contract, over real HTTP: envelope, routes, objects."""

import re
from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey, last_text, say


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Any:
    with api.client(tenant) as client:
        yield client


def data(response: httpx.Response) -> Any:
    """The data of a success, whose envelope is checked."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert body.keys() == {"data", "metadata"}
    assert body["metadata"].keys() == {"request_id", "timestamp", "message"}
    assert response.headers["x-request-id"] == body["metadata"]["request_id"]
    assert response.headers["x-timestamp"] == body["metadata"]["timestamp"]
    return body["data"]


def error(response: httpx.Response, status: int) -> Any:
    """The error of a failure, whose envelope is checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/json")
    body = response.json()
    assert body.keys() == {"error", "metadata"}
    assert body["error"].keys() == {"code", "message", "details"}
    assert body["metadata"].keys() == {"request_id", "timestamp", "message"}
    for detail in body["error"]["details"]:
        assert detail.keys() == {"loc", "msg", "type"}
    assert "Traceback" not in response.text
    assert "tenant-" not in response.text
    return body["error"]


def test_ping_and_readiness_are_public(api: Api) -> None:
    """No credential; nothing about tenants."""
    with api.client() as client:
        assert data(client.get("/ping")) == "pong"
        assert data(client.get("/health/ready")) == {"postgres": "ok", "redis": "ok", "quotas": "ok"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/graph/invoke"),
        ("GET", "/v1/graph"),
        ("GET", "/v1/threads"),
        ("POST", "/v1/threads/search"),
        ("GET", "/v1/threads/t/state"),
        ("GET", "/v1/threads/t/messages"),
        ("GET", "/v1/threads/t/history"),
        ("GET", "/v1/threads/t/runs"),
        ("GET", "/v1/runs"),
        ("GET", "/v1/observability/t"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/threads/t"),
        ("POST", "/v1/store/search"),
    ],
)
def test_an_agent_that_is_none(api: Api, method: str, path: str) -> None:
    """404 in the same words on every route, whether it does not exist or the tenant may not use it."""
    with api.client(api.tenant(agents=["memory"])) as client:
        for agent in ("nobody", "echo"):
            answer = client.request(method, f"/a/{agent}{path}", json=say("hi") if method == "POST" else None)
            told = error(answer, 404)
            assert (told["code"], told["message"]) == ("AGENT_NOT_FOUND", f"There is no agent '{agent}'.")
        assert "AGENT_NOT_FOUND" not in client.request(method, f"/a/memory{path}").text
    with api.operator() as operator:
        assert error(operator.get("/a/nobody/v1/admin/tenants"), 404)["code"] == "AGENT_NOT_FOUND"


def test_the_guides_two_turns(client: httpx.Client) -> None:
    """The default agent remembers a name."""
    first = client.post("/v1/graph/invoke", json=say("My name is Alex.", "user-42"))
    assert data(first)["meta"] == {"is_new_thread": True, "thread_id": "user-42"}
    second = client.post("/v1/graph/invoke", json=say("What's my name?", "user-42"))
    assert data(second)["meta"]["is_new_thread"] is False
    assert "Alex" in last_text(second)
    other = client.post("/v1/graph/invoke", json=say("What's my name?", "user-43"))
    assert "Alex" not in last_text(other)


def test_invoke_answers_this_runs_messages(client: httpx.Client) -> None:
    """Input and produced, whole objects, ids assigned where the client sent "0"."""
    answer = data(client.post("/a/echo/v1/graph/invoke", json=say("hi")))
    assert answer.keys() == {"messages", "state", "context", "summary", "meta"}
    asked, said = answer["messages"]
    assert (asked["role"], said["role"]) == ("user", "assistant")
    assert said["content"] == [{"type": "text", "text": "echo: hi", "annotations": []}]
    assert asked["message_id"] not in ("0", "", None)
    assert asked["message_id"] != said["message_id"]
    assert isinstance(said["timestamp"], float)
    assert said.keys() == {
        "message_id", "role", "content", "delta", "tools_calls", "reasoning", "timestamp", "metadata",
        "usages", "raw", "parsed_content",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("granularity", "context", "state"), [("low", 0, 0), ("partial", 1, 0), ("full", 1, 1)]
)
def test_granularities(client: httpx.Client, granularity: str, context: int, state: int) -> None:
    """What is not asked for is null."""
    body = say("hi", None) | {"response_granularity": granularity}
    answer = data(client.post("/a/echo/v1/graph/invoke", json=body))
    assert (answer["context"] is not None, answer["state"] is not None) == (bool(context), bool(state))
    if state:
        meta = answer["state"]["execution_meta"]
        assert meta["status"] == "completed"
        assert meta["thread_id"] == answer["meta"]["thread_id"]
        assert len(answer["state"]["context"]) == 2


@pytest.mark.parametrize("thread_id", [None, "", "  "])
def test_a_missing_thread_id_is_made(client: httpx.Client, thread_id: str | None) -> None:
    """And returned; numbers become text."""
    body = say("hi") | {"config": {"thread_id": thread_id}}
    made = data(client.post("/a/echo/v1/graph/invoke", json=body))["meta"]["thread_id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    body = say("hi") | {"config": {"thread_id": 7}}
    assert data(client.post("/a/echo/v1/graph/invoke", json=body))["meta"]["thread_id"] == "7"
    data(client.get("/v1/threads/7"))


def test_messages_with_null_ids_and_millisecond_times(client: httpx.Client) -> None:
    """As another client sends them: kept as they are, and never taken for one another."""
    message = {
        "message_id": None,
        "role": "user",
        "timestamp": 1.7e12,
        "content": [{"type": "text", "text": "x"}],
    }
    for _ in range(2):
        data(
            client.post(
                "/a/echo/v1/graph/invoke", json={"messages": [message], "config": {"thread_id": "ms"}}
            )
        )
    messages = data(client.get("/v1/threads/ms/messages"))["messages"]
    assert len(messages) == 4
    assert messages[0]["timestamp"] == 1.7e12


def test_graph_describes_the_agent(client: httpx.Client) -> None:
    """With `__start__` and `__end__`."""
    graph = data(client.get("/a/tools/v1/graph"))
    assert [node["id"] for node in graph["nodes"]] == ["__start__", "MAIN", "__end__"]
    assert [(edge["source"], edge["target"]) for edge in graph["edges"]] == [
        ("__start__", "MAIN"), ("MAIN", "__end__"),
    ]  # fmt: skip
    assert graph["info"].keys() == {
        "node_count", "edge_count", "is_realtime", "checkpointer", "publisher", "store", "checkpointer_type",
        "context_type", "id_generator", "id_type", "state_type", "interrupt_before", "interrupt_after",
        "state_fields",
    }  # fmt: skip
    assert graph["info"]["checkpointer_type"] == "PgCheckpointer"


def test_threads_are_listed_read_and_deleted(client: httpx.Client) -> None:
    """Last changed first; a deleted thread is gone, and its id is free."""
    for thread_id in ("a:user:1", "b", "a:user:2"):
        data(client.post("/a/echo/v1/graph/invoke", json=say("hi", thread_id)))
    listed = data(client.get("/v1/threads"))["threads"]
    assert [thread["thread_id"] for thread in listed] == ["a:user:2", "b", "a:user:1"]
    assert listed[0].keys() == {
        "thread_id", "thread_name", "user_id", "metadata", "updated_at", "run_id", "status", "expires_at",
    }  # fmt: skip
    page = data(client.get("/v1/threads", params={"offset": 1, "limit": 1}))["threads"]
    assert [thread["thread_id"] for thread in page] == ["b"]
    found = data(client.get("/v1/threads", params={"search": "USER"}))["threads"]
    assert [thread["thread_id"] for thread in found] == ["a:user:2", "a:user:1"]
    assert data(client.get("/v1/threads", params={"search": "tenant-"}))["threads"] == []
    assert data(client.get("/v1/threads/a:user:1"))["thread_data"]["thread"]["thread_id"] == "a:user:1"
    deleted = data(client.request("DELETE", "/v1/threads/a:user:1", json={"config": {}}))
    assert deleted["success"] is True
    assert data(client.delete("/v1/threads/b"))["success"] is True
    for path in ("", "/state", "/messages"):
        error(client.get(f"/v1/threads/b{path}"), 404)
    error(client.delete("/v1/threads/b"), 404)
    assert data(client.post("/v1/graph/invoke", json=say("hi", "b")))["meta"]["is_new_thread"] is True


def test_state_and_messages(client: httpx.Client) -> None:
    """The state as clients know it; messages oldest first, searched and cut."""
    for text in ("My name is Alex.", "100% sure?", "a_b"):
        data(client.post("/v1/graph/invoke", json=say(text, "s")))
    state = data(client.get("/v1/threads/s/state"))["state"]
    assert state.keys() == {"context", "context_summary", "execution_meta", "facts"}
    assert state["facts"] == {"name": "Alex"}
    assert state["execution_meta"]["thread_id"] == "s"
    assert len(state["context"]) == 6
    messages = data(client.get("/v1/threads/s/messages"))["messages"]
    assert messages == state["context"]
    assert data(client.get("/v1/threads/s/messages?offset=1&limit=2"))["messages"] == messages[1:3]
    found = data(client.get("/v1/threads/s/messages", params={"search": "%"}))["messages"]
    assert [message["content"][0]["text"] for message in found] == ["100% sure?"]
    error(client.get("/v1/threads/s/messages?limit=0"), 422)


def test_tools_on_the_client(client: httpx.Client) -> None:
    """A call is handed out, its result accepted once, and nobody else's."""
    asked = data(client.post("/a/tools/v1/graph/invoke", json=say("what time?")))["messages"][-1]
    assert asked["role"] == "tool"
    (call,) = asked["content"]
    assert (call["type"], call["name"], call["args"], call["tool_type"]) == (
        "remote_tool_call", "get_time", {"tz": "UTC"}, "remote",
    )  # fmt: skip

    def result(call_id: str) -> dict[str, Any]:
        block = {"type": "tool_result", "call_id": call_id, "output": "12:00", "status": "completed"}
        message = {"role": "tool", "message_id": "0", "content": [block]}
        return {"messages": [message], "config": {"thread_id": "t"}, "response_granularity": "low"}

    error(client.post("/a/tools/v1/graph/invoke", json=result("call_of_nobody")), 422)
    answer = client.post("/a/tools/v1/graph/invoke", json=result(call["id"]))
    assert last_text(answer) == "tool said: 12:00"
    error(client.post("/a/tools/v1/graph/invoke", json=result(call["id"])), 422)


def test_assistant_says_what_to_set(client: httpx.Client) -> None:
    """Without a model it explains instead of failing."""
    assert "AGENTFLOW_MODEL" in last_text(client.post("/a/assistant/v1/graph/invoke", json=say("hi")))


def test_what_is_not_there(client: httpx.Client) -> None:
    """Unknown routes, methods and agents, in the envelope; a missing agent is no GRAPH error."""
    error(client.get("/v2/nothing"), 404)
    error(client.put("/ping"), 405)
    assert not error(client.get("/a/nobody/v1/graph"), 404)["code"].startswith("GRAPH")


def test_agents_of_a_tenant(api: Api) -> None:
    """A tenant may be limited to some agents; the others do not exist for it."""
    limited = api.tenant(agents=["echo"], default_agent="echo")
    with api.client(limited) as client:
        assert last_text(client.post("/v1/graph/invoke", json=say("hi"))) == "echo: hi"
        assert last_text(client.post("/a/echo/v1/graph/invoke", json=say("hi"))) == "echo: hi"
        missing = error(client.post("/a/nobody/v1/graph/invoke", json=say("hi")), 404)
        refused = error(client.post("/a/tools/v1/graph/invoke", json=say("hi")), 404)
        assert refused["code"] == missing["code"]
