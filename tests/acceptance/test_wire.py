"""The wire contract, route by route, over real HTTP, in the exact forms that the existing client uses.

Streams and sockets: `tests/integration/api/test_streams.py` and `test_sockets.py`.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey, last_text, say


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.client(tenant) as client:
        yield client


def ok(answer: httpx.Response) -> Any:
    """The data of an answer in the envelope."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"data", "metadata"}
    assert set(body["metadata"]) == {"request_id", "timestamp", "message"}
    assert answer.headers["x-request-id"] == body["metadata"]["request_id"]
    assert answer.headers["x-timestamp"]
    return body["data"]


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer in the envelope."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "metadata"}
    assert set(body["error"]) == {"code", "message", "details"}
    error: dict[str, Any] = body["error"]
    return error


def delete(client: httpx.Client, path: str) -> httpx.Response:
    """With the body that the client sends."""
    return client.request("DELETE", path, json={"config": {}})


MESSAGE = {
    "message_id", "role", "content", "delta", "tools_calls", "reasoning", "timestamp", "metadata", "usages",
    "raw", "parsed_content",
}  # fmt: skip


def test_ping(api: Api) -> None:
    """Public."""
    assert ok(httpx.get(f"{api.base_url}/ping")) == "pong"


def test_graph(client: httpx.Client) -> None:
    """The agent's shape, its state's schema, and its tools."""
    graph = ok(client.get("/v1/graph"))
    assert set(graph) == {"info", "nodes", "edges"}
    assert {"__start__", "MAIN", "__end__"} == {node["name"] for node in graph["nodes"]}
    assert {"node_count", "edge_count", "is_realtime", "state_fields", "interrupt_before"} <= set(
        graph["info"]
    )
    schema = ok(client.get("/v1/graph:StateSchema"))
    assert {"context", "context_summary", "execution_meta", "facts"} <= set(schema["properties"])
    assert ok(client.get("/a/echo/v1/graph/tools")) == {"node_count": 0, "tool_count": 0, "nodes": []}


def test_invoke_as_the_client_does(client: httpx.Client) -> None:
    """Ids "0" mean "assign one"; full by default; numeric thread ids become strings."""
    body = say("My name is Alex.", None)
    body["config"] = {"thread_id": 42}
    del body["response_granularity"]
    data = ok(client.post("/v1/graph/invoke", json=body))
    assert {"messages", "state", "context", "summary", "meta"} == set(data)
    assert data["meta"] == {"is_new_thread": True, "thread_id": "42"}
    ids = [message["message_id"] for message in data["messages"]]
    assert "0" not in ids
    assert len(set(ids)) == 2
    assert {set(message) == MESSAGE for message in data["messages"]} == {True}
    low = ok(client.post("/v1/graph/invoke", json={**body, "response_granularity": "low"}))
    assert (low["state"], low["context"]) == (None, None)


@pytest.mark.parametrize("none", [{}, {"thread_id": None}, {"thread_id": " "}, None])
def test_a_thread_of_its_own(client: httpx.Client, none: Any) -> None:
    """Without a thread id the server makes one, and returns it."""
    data = ok(client.post("/v1/graph/invoke", json={**say("hi"), "config": none}))
    assert data["meta"]["is_new_thread"] is True
    ok(client.get(f"/v1/threads/{data['meta']['thread_id']}"))


def test_ids_as_they_are_in_paths(client: httpx.Client) -> None:
    """Colons and other letters unescaped."""
    ok(client.post("/v1/graph/invoke", json=say("hi", "tenant:user:session")))
    thread = ok(client.get("/v1/threads/tenant:user:session"))["thread_data"]["thread"]
    assert {"thread_id", "thread_name", "user_id", "metadata", "updated_at", "run_id"} <= set(thread)
    for bad in ("a/b", "a?b", "a#b", "", " ", "x" * 256, "nul\0"):
        if bad.strip():
            refused(client.post("/v1/graph/invoke", json=say("hi", bad)), 422)


def test_threads(client: httpx.Client) -> None:
    """Listed, searched, paged, deleted with a body and without."""
    for name in ("one", "two", "three"):
        ok(client.post("/v1/graph/invoke", json=say("hi", name)))
    listed = ok(client.get("/v1/threads", params={"limit": 2}))["threads"]
    assert [thread["thread_id"] for thread in listed] == ["three", "two"]
    found = ok(client.get("/v1/threads", params={"search": "ON"}))["threads"]
    assert [thread["thread_id"] for thread in found] == ["one"]
    gone = ok(delete(client, "/v1/threads/one"))
    assert (gone["success"], set(gone)) == (True, {"success", "message", "data"})
    refused(client.request("DELETE", "/v1/threads/two", content=b"null"), 422)
    ok(client.request("DELETE", "/v1/threads/two", headers={"content-type": "application/json"}))
    ok(client.delete("/v1/threads/three"))
    refused(client.get("/v1/threads/one"), 404)
    for bad in ("limit=0", "limit=-1", "limit=1001", "offset=-1", "limit=" + "9" * 23, "limit=x", "limit="):
        refused(client.get(f"/v1/threads?{bad}"), 422)


def test_state(client: httpx.Client) -> None:
    """PUT appends, merges deeply and never erases with null; DELETE clears; history keeps all of it."""
    refused(client.put("/v1/threads/t/state", json={"state": {}}), 404)
    ok(client.post("/v1/graph/invoke", json=say("My name is Alex.")))
    before = ok(client.get("/v1/threads/t/state"))["state"]
    note = {"role": "user", "message_id": "0", "content": [{"type": "text", "text": "a note"}]}
    change = {
        "facts": {"dog": "Rex"},
        "context": [note],
        "context_summary": None,
        "execution_meta": {"step": 99},
    }
    after = ok(client.put("/v1/threads/t/state", json={"config": {}, "state": change}))["state"]
    assert after["facts"] == {"name": "Alex", "dog": "Rex"}
    assert [message["role"] for message in after["context"]] == ["user", "assistant", "user"]
    assert after["execution_meta"] == before["execution_meta"]
    assert ok(client.get("/v1/threads/t/state"))["state"] == after
    assert last_text(client.post("/v1/graph/invoke", json=say("What is my dog?"))) == "Your dog is Rex."

    refused(client.put("/v1/threads/t/state", json={"config": {}}), 422)
    refused(client.put("/v1/threads/t/state", json={"state": {"nonsense": 1}}), 422)
    refused(client.put("/v1/threads/t/state", json={"state": {"facts": 5}}), 422)
    refused(client.put("/v1/threads/t/state", json={"state": []}), 422)

    cleared = ok(client.delete("/v1/threads/t/state"))
    assert cleared["success"] is True
    assert ok(client.get("/v1/threads/t/state")) == {"state": None}
    assert ok(client.get("/v1/threads/t/messages"))["messages"] == []
    versions = ok(client.get("/v1/threads/t/history"))["checkpoints"]
    then = ok(client.get(f"/v1/threads/t/history/{versions[1]['seq']}/state"))["state"]
    assert then["facts"] == {"name": "Alex", "dog": "Rex"}
    ok(client.post("/v1/graph/invoke", json=say("My name is Kim.")))
    assert ok(client.get("/v1/threads/t/state"))["state"]["facts"] == {"name": "Kim"}


def test_a_state_is_put_back_as_it_was_read(client: httpx.Client) -> None:
    """With something changed in it, as the playground does; also one that holds tools' calls and results."""
    asked = ok(client.post("/a/tools/v1/graph/invoke", json=say("time?")))
    call = asked["messages"][-1]["content"][0]["id"]
    result = {"type": "tool_result", "call_id": call, "output": "12:00", "status": "completed"}
    answer = say("x") | {"messages": [{"role": "tool", "message_id": "0", "content": [result]}]}
    ok(client.post("/a/tools/v1/graph/invoke", json=answer))
    path = "/a/tools/v1/threads/t/state"
    read = ok(client.get(path))["state"]
    put = ok(client.put(path, json={"config": {}, "state": {**read, "context_summary": "the time"}}))["state"]
    assert put == {**read, "context_summary": "the time"}
    forged = {**read["context"][1], "message_id": "0"}
    refused(client.put(path, json={"state": {"context": [forged]}}), 422)
    forged["message_id"] = read["context"][0]["message_id"]
    refused(client.put(path, json={"state": {"context": [forged]}}), 422)


def test_messages(client: httpx.Client) -> None:
    """Added with null ids and times in milliseconds, found, searched, paged, taken out one by one."""
    given = [
        {
            "message_id": None,
            "role": "user",
            "content": [{"type": "text", "text": f"m{n}"}],
            "timestamp": 1.7e12 + n,
        }
        for n in range(3)
    ]
    added = ok(
        client.post(
            "/v1/threads/t/messages", json={"config": {}, "messages": given, "metadata": {"from": "import"}}
        )
    )
    assert (added["success"], set(added)) == (True, {"success", "message", "data"})
    listed = ok(client.get("/v1/threads/t/messages"))["messages"]
    assert [message["content"][0]["text"] for message in listed] == ["m0", "m1", "m2"]
    assert [message["timestamp"] for message in listed] == [1.7e12, 1.7e12 + 1, 1.7e12 + 2]
    assert len({message["message_id"] for message in listed} - {"0", "", "None"}) == 3
    assert ok(client.get("/v1/threads/t/messages?limit=1&offset=1"))["messages"] == listed[1:2]
    assert ok(client.get("/v1/threads/t/messages?search=M2"))["messages"] == listed[2:]
    path = f"/v1/threads/t/messages/{listed[0]['message_id']}"
    assert ok(client.get(path)) == listed[0]
    gone = ok(delete(client, path))
    assert (gone["success"], set(gone)) == (True, {"success", "message"})
    refused(client.get(path), 404)
    refused(delete(client, path), 404)
    assert ok(client.get("/v1/threads/t/messages"))["messages"] == listed[1:]

    refused(client.post("/v1/threads/t/messages", json={"messages": []}), 422)
    refused(client.post("/v1/threads/t/messages", json={"messages": [{"role": "robot", "content": []}]}), 422)
    call = {"type": "tool_call", "id": "c", "name": "x", "args": {}}
    refused(
        client.post("/v1/threads/t/messages", json={"messages": [{"role": "assistant", "content": [call]}]}),
        422,
    )


def test_two_threads_may_hold_the_same_id(client: httpx.Client) -> None:
    """An id is its thread's."""
    message = {"message_id": "mine", "role": "user", "content": [{"type": "text", "text": "hi"}]}
    for thread in ("a", "b"):
        ok(client.post(f"/v1/threads/{thread}/messages", json={"messages": [message]}))
    ok(delete(client, "/v1/threads/a/messages/mine"))
    assert ok(client.get("/v1/threads/b/messages/mine"))["message_id"] == "mine"
    refused(client.post("/v1/threads/b/messages", json={"messages": [message]}), 422)


@pytest.mark.parametrize("bad", ["a/b", "a?b", "a#b", " ", "..", "x" * 256, "nul\0"])
def test_a_message_s_id_is_one_that_a_path_can_carry(client: httpx.Client, bad: str) -> None:
    """Or it is refused wherever a client may name one: nobody could read or delete such a message."""
    ok(client.post("/v1/threads/t/messages", json={"messages": say("hi")["messages"]}))
    given = [{"message_id": bad, "role": "user", "content": [{"type": "text", "text": "hi"}]}]
    refused(client.post("/v1/graph/invoke", json={**say("hi"), "messages": given}), 422)
    refused(client.post("/v1/graph/invoke", json={**say("hi"), "initial_state": {"context": given}}), 422)
    refused(client.post("/v1/graph/stream", json={**say("hi"), "messages": given}), 422)
    refused(client.post("/v1/threads/t/messages", json={"messages": given}), 422)
    refused(client.put("/v1/threads/t/state", json={"state": {"context": given}}), 422)
    refused(client.post("/v1/threads/t/fork", json={"checkpoint": 1, "values": {"context": given}}), 422)
    given[0]["message_id"] = "chat:é 1"
    ok(client.post("/v1/threads/t/messages", json={"messages": given}))
    assert ok(client.get("/v1/threads/t/messages/chat:é 1"))["message_id"] == "chat:é 1"


def test_messages_are_added_once(client: httpx.Client) -> None:
    """For an idempotency key."""
    body = {"messages": [{"message_id": None, "role": "user", "content": [{"type": "text", "text": "hi"}]}]}
    answers = [
        client.post("/v1/threads/t/messages", json=body, headers={"idempotency-key": "k"}) for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert len(ok(client.get("/v1/threads/t/messages"))["messages"]) == 1


def test_tools_on_the_client(client: httpx.Client) -> None:
    """A call ends the run; its result, in the client's form, goes on; any other result is refused."""
    asked = ok(client.post("/a/tools/v1/graph/invoke", json=say("time?")))
    (call,) = [
        block
        for message in asked["messages"]
        for block in message["content"]
        if block["type"] == "remote_tool_call"
    ]
    assert {"id", "name", "args", "tool_type"} <= set(call)
    result = {"type": "tool_result", "call_id": call["id"], "output": "12:00", "status": "completed"}
    body = say("x")
    body["messages"] = [{"role": "tool", "message_id": "0", "content": [result]}]
    assert last_text(client.post("/a/tools/v1/graph/invoke", json=body)) == "tool said: 12:00"
    refused(client.post("/a/tools/v1/graph/invoke", json=body), 422)


def test_stop_and_fix(client: httpx.Client) -> None:
    """Of a thread without a run, and of one that a call of a tool was left in."""
    refused(client.post("/v1/graph/stop", json={"thread_id": "nowhere"}), 404)
    ok(client.post("/a/tools/v1/graph/invoke", json=say("time?")))
    stopped = ok(client.post("/v1/graph/stop", json={"thread_id": "t", "config": {}}))
    assert {"success", "message", "thread_id", "ok", "running"} <= set(stopped)
    assert (stopped["thread_id"], stopped["running"]) == ("t", False)
    fixed = ok(client.post("/a/tools/v1/graph/fix", json={"thread_id": "t", "config": {}}))
    assert (fixed["success"], fixed["removed_count"]) == (True, 1)
    assert [message["role"] for message in ok(client.get("/v1/threads/t/messages"))["messages"]] == ["user"]
    again = ok(client.post("/a/tools/v1/graph/fix", json={"thread_id": "t"}))
    assert again["removed_count"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/store/memories"),
        ("POST", "/v1/store/search"),
        ("POST", "/v1/store/memories/list"),
        ("POST", "/v1/store/memories/forget"),
        ("POST", "/v1/store/memories/m"),
        ("PUT", "/v1/store/memories/m"),
        ("DELETE", "/v1/store/memories/m"),
        ("POST", "/v1/files/upload"),
        ("GET", "/v1/files/f"),
        ("GET", "/v1/files/f/info"),
        ("GET", "/v1/files/f/url"),
        ("GET", "/v1/config/multimodal"),
    ],
)
def test_what_is_not_there_says_so(client: httpx.Client, method: str, path: str) -> None:
    """503 with a clear error, under every agent."""
    for prefix in ("", "/a/echo"):
        error = refused(client.request(method, prefix + path), 503)
        assert error["code"].endswith("_NOT_CONFIGURED")


def test_every_thread_route_answers_under_an_agent(client: httpx.Client) -> None:
    """The same as without."""
    ok(client.post("/a/echo/v1/graph/invoke", json=say("hi")))
    for path in ("", "/state", "/messages"):
        assert ok(client.get(f"/a/echo/v1/threads/t{path}")) == ok(client.get(f"/v1/threads/t{path}"))


def test_credentials(api: Api, client: httpx.Client) -> None:
    """None and a wrong one: 401; two: 400."""
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer af_live_x"}, 401),
        ({**client.headers, "x-api-key": "another"}, 400),
    ):
        refused(httpx.get(f"{api.base_url}/v1/threads", headers=headers), status)
