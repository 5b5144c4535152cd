"""Whatever a client sends, the answer is a 4xx that says what to do, and nothing is lost or stored."""

import contextlib
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey, last_text, say


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.client(tenant) as client:
        yield client


def text_block(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def message(**values: Any) -> dict[str, Any]:
    return {"role": "user", "content": text_block("x"), **values}


def assert_clean_error(response: httpx.Response, *statuses: int) -> None:
    assert response.status_code in statuses, (response.status_code, response.text[:300])
    body = response.json()
    assert body["error"]["code"]
    assert body["error"]["message"]
    assert body["metadata"]["request_id"]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": []},
        {},
        {"messages": [message(role="king")]},
        {"messages": [message(content=[{"type": "hologram"}])]},
        {"messages": [message(content=[{"type": "text"}])]},
        {"messages": [message(content="text")]},
        {"messages": "text"},
        {"messages": [None]},
        {"messages": [message()], "recursion_limit": 0},
        {"messages": [message()], "recursion_limit": 101},
        {"messages": [message()], "recursion_limit": "25"},
        {"messages": [message()], "response_granularity": "huge"},
        {"messages": [message()], "config": []},
        {"messages": [message()], "config": {"thread_id": []}},
        {"messages": [message()], "config": {"thread_id": {"$ne": 1}}},
        {"messages": [message()], "initial_state": {"no_such_field": 1}},
        {"messages": [message()], "initial_state": []},
        {"messages": [message(role="assistant", content=[{"type": "tool_call", "id": "1", "name": "f"}])]},
        {"messages": [message(content=[{"type": "remote_tool_call", "id": "1", "name": "f"}])]},
        {"messages": [message(message_id="a\0b")]},
        {"messages": [message(message_id=False)]},
        {"messages": [message(metadata={"a": "\ud800"})]},
        {"messages": [message(content=text_block("\ud800"))]},
        [],
        7,
        "text",
        None,
    ],
    ids=str,
)
def test_invoke_refuses(client: httpx.Client, body: Any) -> None:
    """With 422, and no thread is left behind."""
    response = client.post(
        "/v1/graph/invoke", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert_clean_error(response, 422)
    assert client.get("/v1/threads").json()["data"]["threads"] == []


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"",
        b'{"messages": NaN}',
        b'{"messages": Infinity}',
        b'\xff{"messages": []}',
        b'{"messages": "\xc3\x28"}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"messages": 1' + b"0" * 200_000 + b"}",
    ],
    ids=["cut", "empty", "nan", "infinity", "not-utf8", "bad-utf8", "deep", "deep-closed", "huge-number"],
)
def test_a_body_that_is_no_json(client: httpx.Client, content: bytes) -> None:
    """400 or 422, never 500."""
    assert_clean_error(client.post("/v1/graph/invoke", content=content), 400, 422)


@pytest.mark.parametrize(
    "thread_id",
    ["a\0b", "a\r\nb", "a/b", "a?b", "a#b", "x" * 256, "é" * 128, "\x7f", ".", ".."],
    ids=repr,
)
def test_ids_that_a_path_cannot_carry(client: httpx.Client, thread_id: str) -> None:
    """Refused when they would be created."""
    assert_clean_error(client.post("/v1/graph/invoke", json=say("hi", thread_id)), 422)


@pytest.mark.parametrize(
    "path",
    ["%ff", "a%00b", "a%0d%0ab", "%c3%28", "x" * 256, "%20", "a%2Fb", "a%3Fb"],
)
@pytest.mark.parametrize("rest", ["", "/state", "/messages"])
def test_paths_with_strange_ids(client: httpx.Client, path: str, rest: str) -> None:
    """A 4xx, never a 500."""
    assert_clean_error(client.get(f"/v1/threads/{path}{rest}"), 404, 422)


@pytest.mark.parametrize(
    "thread_id",
    [
        "tenant:user:session",
        "{a}:b",
        "a'b\"c",
        "e\u0301",
        "\u00e9",
        "%",
        "a%62",
        "_",
        "x" * 255,
        "😀",
        "a b",
        "\\",
        "a+b",
    ],
)
def test_ids_are_stored_byte_for_byte(client: httpx.Client, thread_id: str) -> None:
    """Neighbours in form are different threads."""
    from urllib.parse import quote

    assert client.post("/a/echo/v1/graph/invoke", json=say("hi", thread_id)).status_code == 200
    got = client.get(f"/v1/threads/{quote(thread_id, safe=':')}").json()
    assert got["data"]["thread_data"]["thread"]["thread_id"] == thread_id
    assert [t["thread_id"] for t in client.get("/v1/threads").json()["data"]["threads"]] == [thread_id]


@pytest.mark.parametrize(
    "query",
    ["limit=-1", "limit=0", "limit=1001", "limit=99999999999999999999999", "offset=-1", "limit=x",
     "limit=1.5",
     "offset=99999999999999999999999", "limit=%00", "search=%00", "limit=\uff11"],
)  # fmt: skip
def test_pages_outside_their_limits(client: httpx.Client, query: str) -> None:
    """422."""
    assert_clean_error(client.get(f"/v1/threads?{query}"), 422)


def test_a_body_over_the_limit_with_and_without_its_length(client: httpx.Client) -> None:
    """413; the service goes on."""
    big = json.dumps(say("x" * (5 * 1024 * 1024))).encode()
    assert_clean_error(client.post("/v1/graph/invoke", content=big), 413)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    with contextlib.suppress(httpx.WriteError):  # refused before all of it was taken
        assert_clean_error(client.post("/v1/graph/invoke", content=pieces()), 413)
    assert client.get("/ping").status_code == 200


def test_a_message_over_the_limit(client: httpx.Client) -> None:
    """413 with the sizes; the thread is as before."""
    assert_clean_error(client.post("/v1/graph/invoke", json=say("x" * (2 * 1024 * 1024))), 413)
    assert client.get("/v1/threads").json()["data"]["threads"] == []


def test_a_packed_body(client: httpx.Client) -> None:
    """Taken within the limit; a bomb is 413 and never unpacked; what is no gzip or broken off is 400."""

    def send(content: bytes, encoding: str = "gzip") -> httpx.Response:
        return client.post("/a/echo/v1/graph/invoke", content=content, headers={"content-encoding": encoding})

    good = gzip.compress(json.dumps(say("packed")).encode())
    assert last_text(send(good)) == "echo: packed"
    assert_clean_error(send(gzip.compress(b" " * 50_000_000)), 413)
    assert_clean_error(send(good[:-12]), 400)
    assert_clean_error(send(b"not gzip"), 400)
    assert_clean_error(send(good, "br"), 415)


def test_nul_and_depth_within_limits_are_kept(client: httpx.Client) -> None:
    """Lossless: NUL in text and metadata, JSON nested 100 deep, 30 digits."""
    deep: Any = 10**30
    for _ in range(100):
        deep = [deep]
    body = say("a\0b", "nul")
    body["messages"][0]["metadata"] = {"nul": "\0", "deep": deep}
    assert last_text(client.post("/a/echo/v1/graph/invoke", json=body)) == "echo: a\0b"
    kept = client.get("/v1/threads/nul/messages").json()["data"]["messages"][0]
    assert kept["content"][0]["text"] == "a\0b"
    assert kept["metadata"] == {"nul": "\0", "deep": deep}


def test_a_client_cannot_set_what_is_the_runtimes(client: httpx.Client) -> None:
    """Users, scopes and internals in the config are ignored."""
    config = {
        "thread_id": "c",
        "user_id": "root",
        "user": {"id": 1},
        "scope": "x",
        "_internal": 1,
        "authz": 1,
    }
    assert client.post("/a/echo/v1/graph/invoke", json=say("hi") | {"config": config}).status_code == 200
    assert client.get("/v1/threads/c").json()["data"]["thread_data"]["thread"]["user_id"] is None
    response = client.post("/v1/graph/invoke", json=say("hi") | {"initial_state": {"execution_meta": {}}})
    assert_clean_error(response, 422)


@pytest.mark.parametrize("field", ["context", "messages"])
@pytest.mark.parametrize("block", [{"type": "tool_call", "id": "1", "name": "f"}, {"type": "hologram"}, 7])
def test_messages_in_an_initial_state_follow_the_same_rules(
    client: httpx.Client, field: str, block: Any
) -> None:
    """What a client may not say in `messages` it may not say there either."""
    state = {field: [{"role": "assistant", "content": [block]}]}
    response = client.post("/v1/graph/invoke", json=say("hi") | {"initial_state": state})
    assert_clean_error(response, 422)
    assert client.get("/v1/threads").json()["data"]["threads"] == []


def test_an_initial_state_with_messages(client: httpx.Client) -> None:
    """Harmless ones join the conversation before the turn."""
    earlier = {"role": "user", "content": text_block("My name is Alex.")}
    body = say("hi", "i") | {"initial_state": {"context": [earlier], "facts": {"name": "Alex"}}}
    assert client.post("/v1/graph/invoke", json=body).status_code == 200
    assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?", "i")))


@pytest.mark.parametrize("depth", [118, 124, 130, 200, 252, 254, 256])
def test_depth_is_taken_whole_or_refused(client: httpx.Client, depth: int) -> None:
    """What is accepted comes back in every form of answer; nothing is accepted that cannot."""
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    body = say("hi", "deep", response_granularity="full")
    body["messages"][0]["metadata"] = {"deep": deep}
    response = client.post("/a/echo/v1/graph/invoke", json=body)
    if response.status_code != 200:
        assert depth > 118
        assert_clean_error(response, 400, 422)
        return
    assert depth < 130
    for path in ("/state", "/messages"):
        assert client.get(f"/v1/threads/deep{path}").status_code == 200


@pytest.mark.parametrize("path", ["t%2Fstate", "t%2fmessages", "/t", "/state", "%2Ft", "%2F"])
def test_paths_that_look_like_others(client: httpx.Client, path: str) -> None:
    """They are not read as the route or the thread they resemble, least of all to delete it."""
    for thread_id in ("t", "state"):
        assert client.post("/a/echo/v1/graph/invoke", json=say("hi", thread_id)).status_code == 200
    assert_clean_error(client.get(f"/v1/threads/{path}"), 404, 422)
    assert_clean_error(client.delete(f"/v1/threads/{path}"), 404, 405, 422)
    assert len(client.get("/v1/threads").json()["data"]["threads"]) == 2


def test_timeouts_are_the_operators(client: httpx.Client) -> None:
    """A client's config neither lifts nor breaks them."""
    for value in (0, -1, None, 1e-9, 10**400, "soon"):
        config = {"thread_id": "t", "node_timeout": value, "tool_timeout": value, "lock_wait": value}
        assert client.post("/a/echo/v1/graph/invoke", json=say("hi") | {"config": config}).status_code == 200
