"""What a thread was, over HTTP: its checkpoints, states at them, replays, forks and copies."""

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


def tell(client: httpx.Client, *texts: str, thread: str = "t") -> None:
    for text in texts:
        assert client.post("/v1/graph/invoke", json=say(text, thread)).status_code == 200


def facts(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["state"]["facts"]


def whole_history(client: httpx.Client, thread: str, limit: int = 1000) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        query: dict[str, Any] = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = client.get(f"/v1/threads/{thread}/history", params=query)
        assert answer.status_code == 200, answer.text
        page = answer.json()["data"]
        assert len(page["checkpoints"]) <= limit
        found += page["checkpoints"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def test_history_is_read_in_pages(client: httpx.Client) -> None:
    """Newest first with what made each checkpoint; the same for any size of pages; also one alone."""
    tell(client, "My name is Alex.", "My dog is Rex.")
    entries = whole_history(client, "t")
    assert [(entry["seq"], entry["parent"], entry["source"], entry["node"]) for entry in entries] == [
        (4, 3, "node", "MAIN"),
        (3, 2, "input", "__start__"),
        (2, 1, "node", "MAIN"),
        (1, 0, "input", "__start__"),
    ]
    assert entries[0]["run_id"] == entries[1]["run_id"] != entries[2]["run_id"]
    assert set(entries[0]) == {"seq", "parent", "node", "step", "source", "run_id", "created_at"}
    for limit in (1, 2, 3, 4):
        assert whole_history(client, "t", limit) == entries
    before = client.get("/v1/threads/t/history", params={"before": 3}).json()["data"]["checkpoints"]
    assert before == entries[2:]
    for entry in entries:
        alone = client.get(f"/v1/threads/t/history/{entry['seq']}")
        assert alone.json()["data"]["checkpoint"] == entry


def test_a_state_is_read_as_it_was(client: httpx.Client) -> None:
    """In the shape of the latest state; the latest checkpoint's is the latest state."""
    tell(client, "My name is Alex.", "My dog is Rex.")
    assert facts(client, "/v1/threads/t/history/1/state") == {}
    assert facts(client, "/v1/threads/t/history/2/state") == {"name": "Alex"}
    latest = client.get("/v1/threads/t/state").json()["data"]
    assert client.get("/v1/threads/t/history/4/state").json()["data"] == latest
    assert latest["state"]["execution_meta"]["thread_id"] == "t"
    assert client.delete("/v1/threads/t/state").status_code == 200
    for path in ("state", "history/5/state"):
        assert client.get(f"/v1/threads/t/{path}").json()["data"] == {"state": None}
    assert client.get("/v1/threads/t/history/4/state").json()["data"] == latest


def test_a_replay_runs_from_a_checkpoint(client: httpx.Client) -> None:
    """With messages another turn from then; without, what was unfinished then. History keeps the rest."""
    tell(client, "My name is Alex.", "My name is Bo.")
    again = say("What is my name?", "t")
    again["config"]["checkpoint"] = 2
    assert last_text(client.post("/v1/graph/invoke", json=again)) == "Your name is Alex."
    assert [entry["parent"] for entry in whole_history(client, "t")][:2] == [5, 2]
    assert facts(client, "/v1/threads/t/history/4/state") == {"name": "Bo"}
    # Version 3 holds the second turn's message, and its node has not run yet.
    unfinished = {"messages": [], "config": {"thread_id": "t", "checkpoint": 3}}
    answer = client.post("/v1/graph/invoke", json=unfinished)
    assert last_text(answer) == "I will remember that your name is Bo."
    assert facts(client, "/v1/threads/t/state") == {"name": "Bo"}
    done = client.post(
        "/v1/graph/invoke", json={"messages": [], "config": {"thread_id": "t", "checkpoint": 2}}
    )
    assert done.status_code == 422, done.text
    for wrong, status in ((99, 404), (2**40, 404), ("2", 422), (True, 422), ([], 422), (1.5, 422)):
        again["config"]["checkpoint"] = wrong
        assert client.post("/v1/graph/invoke", json=again).status_code == status, wrong


def test_forks(client: httpx.Client) -> None:
    """An older state becomes the latest, in place or of a new thread, with values changed on the way."""
    tell(client, "My name is Alex.", "My dog is Rex.")
    in_place = client.post("/v1/threads/t/fork", json={"checkpoint": 2})
    assert (in_place.status_code, in_place.json()["data"]) == (200, {"thread_id": "t", "checkpoint": 5})
    assert facts(client, "/v1/threads/t/state") == {"name": "Alex"}
    assert whole_history(client, "t")[0]["parent"] == 2
    values = {
        "facts": {"cat": "Tom"},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    }
    made = client.post("/v1/threads/t/fork", json={"checkpoint": 4, "to_thread": "new", "values": values})
    assert (made.status_code, made.json()["data"]) == (201, {"thread_id": "new", "checkpoint": 1})
    state = client.get("/v1/threads/new/state").json()["data"]["state"]
    assert state["facts"] == {"name": "Alex", "dog": "Rex", "cat": "Tom"}
    assert state["context"][-1]["content"][0]["text"] == "x"
    assert state["execution_meta"]["thread_id"] == "new"
    assert (
        last_text(client.post("/v1/graph/invoke", json=say("What is my dog?", "new"))) == "Your dog is Rex."
    )
    assert client.get("/v1/threads/new").json()["data"]["thread_data"]["thread"]["metadata"] == {}


def test_copies(client: httpx.Client) -> None:
    """Whole and exact, or the latest state alone; then each goes its own way."""
    body = say("My name is Alex.", "t")
    body["config"] |= {"thread_name": "Name", "thread_metadata": {"k": 1}}
    assert client.post("/v1/graph/invoke", json=body).status_code == 200
    tell(client, "My dog is Rex.")
    whole = client.post("/v1/threads/t/copy", json={"to_thread": "whole"})
    assert (whole.status_code, whole.json()["data"]) == (201, {"thread_id": "whole", "checkpoint": 4})
    assert whole_history(client, "whole") == whole_history(client, "t")
    state, copied = (
        client.get(f"/v1/threads/{name}/state").json()["data"]["state"] for name in ("t", "whole")
    )
    assert copied.pop("execution_meta").pop("thread_id") == "whole"
    state.pop("execution_meta")
    assert copied == state
    thread = client.get("/v1/threads/whole").json()["data"]["thread_data"]["thread"]
    assert (thread["thread_name"], thread["metadata"]) == ("Name", {"k": 1})
    generated = client.post("/v1/threads/t/copy").json()["data"]["thread_id"]
    assert len(whole_history(client, generated)) == 4
    latest = client.post("/v1/threads/t/copy", json={"to_thread": "latest", "with_history": False})
    assert latest.json()["data"] == {"thread_id": "latest", "checkpoint": 1}
    assert facts(client, "/v1/threads/latest/state") == {"name": "Alex", "dog": "Rex"}
    tell(client, "My name is Bo.", thread="whole")
    assert facts(client, "/v1/threads/t/state")["name"] == "Alex"
    assert client.delete("/v1/threads/t").status_code == 200
    assert facts(client, "/v1/threads/whole/history/2/state") == {"name": "Alex"}


def test_nothing_is_replaced(api: Api, tenant: TenantKey) -> None:
    """A thread that is there is 409 in the same words, whosever it is; another tenant's is no hindrance."""
    mine, theirs, words = token(api, tenant, "me"), token(api, tenant, "you"), []
    with api.with_key(mine) as me, api.with_key(theirs) as you, api.client(api.tenant()) as other:
        tell(me, "My name is Alex.")
        tell(me, "hi", thread="taken")
        tell(you, "hi", thread="taken too")
        tell(other, "hi", thread="free")
        for target in ("taken", "taken too", "t"):
            for path, body in (("fork", {"checkpoint": 1}), ("copy", {}), ("copy", {"with_history": False})):
                answer = me.post(f"/v1/threads/t/{path}", json={**body, "to_thread": target})
                assert answer.status_code == 409, answer.text
                error = json.dumps(answer.json()["error"])
                assert tenant.tenant.slug not in error
                words.append(
                    (path, bool(body.get("with_history", True)), error.replace(f"'{target}'", "..."))
                )
        assert len(set(words)) == 3
        for path in ("taken too/fork", "taken%20too/copy", "free/copy"):
            assert me.post(f"/v1/threads/{path}", json={"checkpoint": 1}).status_code in (404, 422)
        assert me.post("/v1/threads/taken%20too/copy", json={}).status_code == 404
        assert me.get("/v1/threads/taken%20too/history").status_code == 404
        copied = me.post("/v1/threads/t/copy", json={"to_thread": "free"})
        assert copied.status_code == 201
        assert me.get("/v1/threads/free").json()["data"]["thread_data"]["thread"]["user_id"] == "me"


def token(api: Api, tenant: TenantKey, user: str) -> str:
    with api.client(tenant) as client:
        answer = client.post("/v1/tokens", json={"user_id": user})
        assert answer.is_success, answer.text
        text: str = answer.json()["data"]["token"]
        return text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nothing/history", None, 404),
        ("GET", "nothing/history/1", None, 404),
        ("GET", "nothing/history/1/state", None, 404),
        ("GET", "t/history/9", None, 404),
        ("GET", "t/history/9/state", None, 404),
        ("GET", "t/history/2147483646", None, 404),
        ("GET", "t/history/0", None, 422),
        ("GET", "t/history/-1", None, 422),
        ("GET", "t/history/2147483647/state", None, 422),
        ("GET", "t/history/99999999999999999999999", None, 422),
        ("GET", "t/history/1.0", None, 422),
        ("GET", "t/history/x", None, 422),
        ("GET", "t/history?limit=-1", None, 422),
        ("GET", "t/history?limit=1001", None, 422),
        ("GET", "t/history?before=99999999999999999999999", None, 422),
        ("GET", "t/history?cursor=forged", None, 422),
        ("GET", "t/history?cursor=eA", None, 422),
        ("GET", "t/history?cursor=OTk5OTk5OTk5OQ", None, 422),
        ("GET", "a%00b/history", None, 422),
        ("POST", "nothing/fork", {"checkpoint": 1}, 404),
        ("POST", "t/fork", {"checkpoint": 9}, 404),
        ("POST", "t/fork", {}, 422),
        ("POST", "t/fork", None, 422),
        ("POST", "t/fork", {"checkpoint": 0}, 422),
        ("POST", "t/fork", {"checkpoint": 2**31}, 422),
        ("POST", "t/fork", {"checkpoint": True}, 422),
        ("POST", "t/fork", {"checkpoint": "1"}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "to_thred": "x"}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "to_thread": "a/b"}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "to_thread": "a\0b"}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "to_thread": " "}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "values": {"no_such": 1}}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "values": {"execution_meta": {}}}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "values": {"facts": 7}}, 422),
        ("POST", "t/fork", {"checkpoint": 1, "values": {"messages": [{"role": "king"}]}}, 422),
        (
            "POST", "t/fork", {"checkpoint": 1, "values": {"messages": [
                {"role": "assistant", "content": [{"type": "tool_call", "id": "1", "name": "f"}]}]}}, 422,
        ),
        ("POST", "nothing/copy", {}, 404),
        ("POST", "nothing/copy", {"with_history": False}, 404),
        ("POST", "t/copy", {"to_thread": "a?b"}, 422),
        ("POST", "t/copy", {"to_thread": 7}, 422),
        ("POST", "t/copy", {"with_history": "yes"}, 422),
        ("POST", "t/copy", [], 422),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be(client: httpx.Client, method: str, path: str, body: Any, status: int) -> None:
    """Refused in the envelope; nothing is made or changed."""
    tell(client, "My name is Alex.")
    answer = client.request(method, f"/v1/threads/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]
    assert [thread["thread_id"] for thread in client.get("/v1/threads").json()["data"]["threads"]] == ["t"]
    assert len(whole_history(client, "t")) == 2


def test_copies_take_room(api: Api) -> None:
    """A fork or copy to a new thread needs room for one; in place it needs none; deleting makes room."""
    tenant = api.tenant()
    limits = {"limits": {"threads": 3}}
    with api.operator() as operator:
        assert operator.patch(f"/v1/admin/tenants/{tenant.tenant.slug}", json=limits).status_code == 200
    with api.client(tenant) as client:
        tell(client, "My name is Alex.")
        assert client.post("/v1/threads/t/copy", json={"to_thread": "b"}).status_code == 201
        assert client.post("/v1/threads/t/fork", json={"checkpoint": 2, "to_thread": "c"}).status_code == 201
        for path, body in (
            ("copy", {}),
            ("copy", {"with_history": False}),
            ("fork", {"checkpoint": 1, "to_thread": "d"}),
        ):
            full = client.post(f"/v1/threads/t/{path}", json=body)
            assert full.status_code == 429, full.text
            assert full.json()["error"]["details"][0]["loc"] == ["quota", "threads"]
        assert client.post("/v1/threads/t/fork", json={"checkpoint": 1}).status_code == 200
        gone = client.post("/v1/threads/delete", json={"ids": ["b"], "dry_run": False})
        assert gone.json()["data"]["deleted"] == 1
        assert client.post("/v1/threads/t/copy", json={}).status_code == 201
        assert client.post("/v1/threads/t/copy", json={}).status_code == 429


def test_a_copy_was_not_run(api: Api) -> None:
    """What it takes is kept; runs, checkpoints and tokens are as before."""
    tenant = api.tenant()
    with api.client(tenant) as client:
        tell(client, "My name is Alex.", "My dog is Rex.")
        before = client.get("/v1/usage").json()["data"]["total"]
        assert client.post("/v1/threads/t/copy", json={"to_thread": "c"}).status_code == 201
        after = client.get("/v1/usage").json()["data"]["total"]
        assert after["threads"] == 2 * before["threads"] == 2
        assert after["stored_bytes"] == 2 * before["stored_bytes"] > 0
        for name in ("runs", "checkpoints", "tokens_in", "tokens_out"):
            assert after[name] == before[name], name


def test_a_repeated_request_makes_one_thread(client: httpx.Client) -> None:
    """With an idempotency key the second answer is the first one, also where the service chose the id."""
    tell(client, "My name is Alex.")
    for path, body in (
        ("t/copy", {}),
        ("t/copy", {"with_history": False}),
        ("t/fork", {"checkpoint": 2}),
        ("t/fork", {"checkpoint": 2, "to_thread": "f"}),
        ("delete", {"ids": ["f"], "dry_run": False}),
    ):
        key = {"Idempotency-Key": f"{path} {json.dumps(body)}"}
        answers = [client.post(f"/v1/threads/{path}", json=body, headers=key) for _ in range(2)]
        assert answers[0].is_success, answers[0].text
        assert answers[0].json()["data"] == answers[1].json()["data"]
        other = client.post(f"/v1/threads/{path}", json={**body, "unknown": 1}, headers=key)
        assert other.status_code == 422
    assert len(client.get("/v1/threads").json()["data"]["threads"]) == 3
    assert len(whole_history(client, "t")) == 3
