"""Threads by what they are, over HTTP: searched, deleted in bulk, and their attributes changed."""

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey, say


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.client(tenant) as client:
        yield client


def make(client: httpx.Client, thread: str, text: str = "hi", **config: Any) -> None:
    body = say(text, thread)
    body["config"] |= config
    assert client.post("/a/echo/v1/graph/invoke", json=body).status_code == 200


def found(client: httpx.Client, **wanted: Any) -> list[str]:
    answer = client.post("/v1/threads/search", json={"sort": "thread_id", **wanted})
    assert answer.status_code == 200, answer.text
    return [thread["thread_id"] for thread in answer.json()["data"]["threads"]]


def every_page(client: httpx.Client, **wanted: Any) -> list[str]:
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = client.post("/v1/threads/search", json={**wanted, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()["data"]
        ids += [thread["thread_id"] for thread in page["threads"]]
        if page["next_cursor"] is None:
            return ids
        cursor = {"cursor": page["next_cursor"]}


def test_search(client: httpx.Client) -> None:
    """By metadata, text, name and times, each alone and together; metacharacters mean themselves."""
    make(
        client,
        "a",
        "It is 100% done",
        thread_name="Plan_A",
        thread_metadata={"team": "red", "of": {"n": [1, 2]}},
    )
    make(client, "b", "Robert'); DROP TABLE students", thread_name="Plan B", thread_metadata={"'%": "\\"})
    make(client, "c", "C:\\dir\nanother", thread_metadata={"team": "red"})
    assert found(client) == ["a", "b", "c"]
    assert client.post("/v1/threads/search").json()["data"]["next_cursor"] is None
    for wanted, ids in (
        ({"metadata": {"team": "red"}}, ["a", "c"]),
        ({"metadata": {"of": {"n": [2]}}}, ["a"]),
        ({"metadata": {"team": "%"}}, []),
        ({"metadata": {"'%": "\\"}}, ["b"]),
        ({"metadata": {"' OR true --": 1}}, []),
        ({"text": "100%"}, ["a"]),
        ({"text": "0% D"}, ["a"]),
        ({"text": "%"}, ["a"]),
        ({"text": "_"}, []),
        ({"text": "robert'); drop"}, ["b"]),
        ({"text": "c:\\DIR\nan"}, ["c"]),
        ({"text": "' OR true --"}, []),
        ({"thread_name": "plan_"}, ["a"]),
        ({"thread_name": "PLAN"}, ["a", "b"]),
        ({"text": "done", "metadata": {"team": "red"}, "thread_name": "a"}, ["a"]),
        ({"text": "done", "thread_name": "b"}, []),
        ({"user_id": "nobody"}, []),
        (
            {"created_after": "2020-01-01T00:00:00Z", "updated_before": "9999-12-31T23:59:59Z"},
            ["a", "b", "c"],
        ),
        ({"updated_before": "2020-01-01T00:00:00+02:00"}, []),
    ):
        assert found(client, **wanted) == ids, wanted
    thread = client.post("/v1/threads/search", json={"text": "100%"}).json()["data"]["threads"][0]
    assert thread["thread_name"] == "Plan_A"
    assert thread["updated_at"] >= thread["created_at"]
    made = {"created_after": thread["created_at"]}
    assert found(client, **made) == ["a", "b", "c"]
    assert found(client, created_before=thread["created_at"]) == []


def test_pages(client: httpx.Client) -> None:
    """In every order all threads once, whatever the size of the pages, ids of any kind."""
    ids = ["b", "a%", "é" * 100, "tenant:x:y", "search", "delete"]
    for thread in ids:
        make(client, thread)
    orders = {"created_at": ids, "-created_at": ids[::-1], "-updated_at": ids[::-1], "updated_at": ids,
              "thread_id": sorted(ids)}  # fmt: skip
    for sort, expected in orders.items():
        for limit in (1, 2, 6, 100):
            assert every_page(client, sort=sort, limit=limit) == expected, (sort, limit)


def test_threads_may_be_named_like_routes(client: httpx.Client) -> None:
    """A thread called `search` or `delete` is read, changed and deleted as any other."""
    for name in ("search", "delete"):
        make(client, name, "hello")
        assert client.patch(f"/v1/threads/{name}", json={"thread_name": "N"}).status_code == 200
        thread = client.get(f"/v1/threads/{name}").json()["data"]["thread_data"]["thread"]
        assert (thread["thread_id"], thread["thread_name"]) == (name, "N")
        for path in ("state", "messages", "history", "history/1"):
            assert client.get(f"/v1/threads/{name}/{path}").status_code == 200
        assert client.get(f"/a/echo/v1/threads/{name}").status_code == 200
        assert client.delete(f"/v1/threads/{name}").status_code == 200
        assert client.get(f"/v1/threads/{name}").status_code == 404


def test_bulk_delete(client: httpx.Client) -> None:
    """A dry run, which is the default, tells and changes nothing; a real one deletes that, in parts."""
    for number in range(6):
        make(client, f"t{number}", f"says {number}", thread_metadata={"odd": bool(number % 2)})
    odd = {"metadata": {"odd": True}}
    for body in (odd, {**odd, "dry_run": True}):
        told = client.post("/v1/threads/delete", json=body).json()["data"]
        assert told == {
            "dry_run": True,
            "count": 3,
            "deleted": 0,
            "thread_ids": ["t1", "t3", "t5"],
            "more": False,
        }
    assert client.post("/v1/threads/delete", json={**odd, "limit": 2}).json()["data"]["more"] is True
    assert len(found(client)) == 6

    def delete(**body: Any) -> tuple[int, Sequence[str], bool]:
        answer = client.post("/v1/threads/delete", json={**body, "dry_run": False})
        assert answer.status_code == 200, answer.text
        data = answer.json()["data"]
        assert data["count"] == data["deleted"]
        return data["deleted"], data["thread_ids"], data["more"]

    assert delete(**odd, limit=2) == (2, ["t1", "t3"], True)
    assert delete(**odd, limit=2) == (1, ["t5"], False)
    assert delete(**odd) == (0, [], False)
    assert delete(text="SAYS 2", ids=["t2", "t4", "x"]) == (1, ["t2"], False)
    assert delete(ids=["t4", "missing"]) == (1, ["t4"], False)
    assert found(client) == ["t0"]
    assert client.get("/v1/threads/t1/messages").status_code == 404
    make(client, "t1", "again")
    assert len(client.get("/v1/threads/t1/messages").json()["data"]["messages"]) == 2


def test_attributes(client: httpx.Client) -> None:
    """Name and single keys of the metadata are set or taken away; all else stays, order too."""
    make(client, "t", thread_name="old", thread_metadata={"a": 1, "b": {"c": 2}})
    make(client, "newer")

    def change(**body: Any) -> tuple[Any, Any]:
        answer = client.patch("/v1/threads/t", json=body)
        assert answer.status_code == 200, answer.text
        assert client.get("/v1/threads/t").json()["data"] == answer.json()["data"]
        thread = answer.json()["data"]["thread_data"]["thread"]
        return thread["thread_name"], thread["metadata"]

    assert change(thread_name="new'%") == ("new'%", {"a": 1, "b": {"c": 2}})
    assert change(metadata={"a": None, "d": [1]}) == ("new'%", {"b": {"c": 2}, "d": [1]})
    assert change(thread_name=None, metadata={"b": None}) == (None, {"d": [1]})
    assert found(client, metadata={"d": [1]}) == ["t"]
    assert every_page(client) == ["newer", "t"]
    assert client.patch("/v1/threads/missing", json={"thread_name": "x"}).status_code == 404
    large = client.patch("/v1/threads/t", json={"metadata": {"large": "x" * 70_000}})
    assert large.status_code == 413
    make(client, "t", "goes on")


SEARCHES: list[dict[str, Any]] = [
    {"text": ""}, {"text": "a\0b"}, {"text": "x" * 1001}, {"text": 7}, {"text": "\ud800"}, {"user_id": "\0"},
    {"metadata": []}, {"metadata": {"\0": 1}}, {"metadata": {"a": ["\0"]}}, {"metadata": {"a": "\ud800"}},
    {"thread_name": "\0"}, {"created_after": "yesterday"}, {"created_after": "2020-01-01T00:00:00"},
    {"updated_before": "0001-01-01T00:00:00+14:00"}, {"unknown": 1}, {"search": "x"}, {"status": "busy"},
    {"status": ["idle"]}, {"status": "IDLE"},
]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        *SEARCHES,
        {"limit": 0},
        {"limit": -1},
        {"limit": 1001},
        {"limit": "1"},
        {"limit": True},
        {"sort": "name"},
        {"cursor": "forged"},
        {"cursor": "W10"},
        {"cursor": "x" * 3000},
        {"cursor": "é"},
        {"tenant_id": "x"},
        [],
        7,
    ],
    ids=str,
)
def test_searches_that_are_refused(client: httpx.Client, body: Any) -> None:
    """422 in the envelope; NUL and what is not known are never left out in silence."""
    answer = client.post("/v1/threads/search", content=json.dumps(body))
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "words",
    [
        ["-updated_at", 2**63, "t"],
        ["-updated_at", 1.5, "t"],
        ["-updated_at", True, "t"],
        ["created_at", 1, "t"],
        ["-updated_at", 1],
        ["-updated_at", 1, "a/b"],
        ["-updated_at", 1, "\0"],
        ["-updated_at", 1, 7],
        {},
        None,
        {"a": 1, "b": 2, "c": 3},
        "abc",
        ["-updated_at", int("9" * 400), "t"],
    ],
    ids=lambda words: str(words)[:40],
)
def test_forged_cursors(client: httpx.Client, words: Any) -> None:
    """Refused; those that could be true only say where to begin, in the tenant's own threads."""
    make(client, "t")
    text = base64.urlsafe_b64encode(json.dumps(words).encode()).decode().rstrip("=")
    assert client.post("/v1/threads/search", json={"cursor": text}).status_code == 422
    made_up = base64.urlsafe_b64encode(json.dumps(["-updated_at", -(2**63) + 1, "zzz"]).encode()).decode()
    assert client.post("/v1/threads/search", json={"cursor": made_up}).json()["data"]["threads"]


@pytest.mark.parametrize(
    "body",
    [
        *SEARCHES,
        {},
        None,
        [],
        {"metadata": {}},
        {"ids": []},
        {"ids": ["a/b"]},
        {"ids": [1]},
        {"ids": ["x"] * 1001},
        {"ids": ["a\0"]},
        {"dry_run": False},
        {"ids": ["t"], "dry_run": "false"},
        {"ids": ["t"], "limit": 0},
        {"ids": ["t"], "limit": 10_001},
        {"thread_ids": ["t"]},
    ],
    ids=lambda body: str(body)[:40],
)
def test_deletions_that_are_refused(client: httpx.Client, body: Any) -> None:
    """422, and nothing is deleted: without a condition, or with one that is not known, nobody means all."""
    make(client, "t")
    given = {**body, "dry_run": body.get("dry_run", False)} if isinstance(body, dict) else body
    answer = client.post("/v1/threads/delete", content=json.dumps(given))
    assert answer.status_code == 422, answer.text
    assert found(client) == ["t"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        [],
        {"thread_name": ""},
        {"thread_name": 7},
        {"thread_name": "\0"},
        {"thread_name": "x" * 256},
        {"metadata": []},
        {"metadata": {"\0": 1}},
        {"metadata": {"\0": None}},
        {"metadata": {"a": "\0"}},
        {"metadata": {"a": "\ud800"}},
        {"user_id": "x"},
        {"thread_id": "x"},
    ],
    ids=str,
)
def test_changes_that_are_refused(client: httpx.Client, body: Any) -> None:
    """422, and the thread stays as it is."""
    make(client, "t", thread_name="N", thread_metadata={"k": 1})
    before = client.get("/v1/threads/t").json()["data"]
    assert client.patch("/v1/threads/t", content=json.dumps(body)).status_code == 422
    assert client.get("/v1/threads/t").json()["data"] == before


def test_nobody_elses(api: Api, tenant: TenantKey) -> None:
    """Neither another tenant's threads nor another user's are found, counted, changed or deleted."""
    other = api.tenant()
    with api.client(tenant) as mine, api.client(other) as theirs:
        for client in (mine, theirs):
            make(client, "t", "the words", thread_metadata={"k": 1})
        minted = mine.post("/v1/tokens", json={"user_id": "me"}).json()["data"]["token"]
        with api.with_key(minted) as me:
            make(me, "own", "the words", thread_metadata={"k": 1})
            for wanted in ({}, {"text": "words"}, {"metadata": {"k": 1}}, {"user_id": "me"}):
                assert found(me, **wanted) == ["own"]
            assert me.patch("/v1/threads/t", json={"thread_name": "x"}).status_code == 404
            told = me.post("/v1/threads/delete", json={"text": "words"}).json()["data"]
            assert (told["count"], told["thread_ids"]) == (1, ["own"])
            named = {"ids": ["t", "own"], "dry_run": False}
            assert me.post("/v1/threads/delete", json=named).json()["data"]["deleted"] == 1
        assert found(mine, text="words") == ["t"]
        everything = {"created_after": "2000-01-01T00:00:00Z", "dry_run": False}
        assert mine.post("/v1/threads/delete", json=everything).json()["data"]["deleted"] == 1
        assert found(mine) == []
        assert found(theirs, text="words") == ["t"]
        stranger = {"ids": [f"tenant-{other.tenant.slug}:t", "t"], "dry_run": False}
        assert mine.post("/v1/threads/delete", json=stranger).json()["data"]["deleted"] == 0
        assert theirs.get("/v1/threads/t").status_code == 200
