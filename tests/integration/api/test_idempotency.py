"""One effect and one answer for a key: repeated, raced, cut off, killed."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.run import ROOT


@pytest.fixture
def own_api(migrated_database_url: str, redis_url: str) -> Iterator[Api]:
    """An API that hosts the tests' agents."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_AGENTS=AGENTS, PYTHONPATH=str(ROOT)) as api:
        yield api


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.client(tenant) as client:
        yield client


def key(text: str = "k-1") -> dict[str, str]:
    return {"idempotency-key": text}


def count(client: httpx.Client, thread: str = "t") -> int:
    return len(client.get(f"/v1/threads/{thread}/messages").json()["data"]["messages"])


def test_repeated(client: httpx.Client) -> None:
    """The first answer again, byte for byte, marked as such; the work is done once."""
    first = client.post("/v1/graph/invoke", json=say("hi"), headers=key())
    again = client.post("/v1/graph/invoke", json=say("hi"), headers=key())
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert count(client) == 2
    client.post("/v1/graph/invoke", json=say("hi"), headers=key("k-2"))
    client.post("/v1/graph/invoke", json=say("hi"))
    assert count(client) == 6


def test_raced(api: Api, tenant: TenantKey) -> None:
    """Many at once: one run, and all get its answer."""
    with ThreadPoolExecutor(8) as pool, api.client(tenant) as client:
        answers = list(
            pool.map(lambda _: client.post("/v1/graph/invoke", json=say("hi", None), headers=key()), range(8))
        )
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len(client.get("/v1/threads").json()["data"]["threads"]) == 1


def test_something_else_under_the_same_key(client: httpx.Client) -> None:
    """422, whether it is the body, the agent or the route that differs."""
    client.post("/v1/graph/invoke", json=say("hi"), headers=key())
    for path, body in (
        ("/v1/graph/invoke", say("ho")),
        ("/a/echo/v1/graph/invoke", say("hi")),
        ("/v1/graph/stream", say("hi")),
        ("/v1/threads/t/runs", say("hi")),
    ):
        answer = client.post(path, json=body, headers=key())
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert count(client) == 2


def test_tenants_do_not_share_keys(api: Api, client: httpx.Client) -> None:
    """The same key of another tenant is another key."""
    client.post("/v1/graph/invoke", json=say("hi"), headers=key())
    with api.client(api.tenant()) as other:
        answer = other.post("/v1/graph/invoke", json=say("something else"), headers=key())
        assert answer.status_code == 200
        assert "idempotent-replayed" not in answer.headers


@pytest.mark.parametrize("bad", ["", "x" * 256, "a\tb"])
def test_malformed_keys(client: httpx.Client, bad: str) -> None:
    """422, and nothing is done."""
    answer = client.post("/v1/graph/invoke", json=say("hi"), headers={"idempotency-key": bad})
    assert answer.status_code in (400, 422)
    assert client.get("/v1/threads/t").status_code == 404


def test_what_was_refused_leaves_its_key_free(client: httpx.Client) -> None:
    """A request that did nothing may be mended and sent again under its key."""
    assert client.post("/v1/graph/invoke", json={"messages": []}, headers=key()).status_code == 422
    assert client.post("/a/nobody/v1/graph/invoke", json=say("hi"), headers=key()).status_code == 404
    assert client.post("/v1/graph/invoke", json=say("hi"), headers=key()).status_code == 200


def test_a_failure_is_an_answer(own_api: Api) -> None:
    """A node that raised did run: its answer is kept, and it does not run again."""
    with own_api.client(own_api.tenant()) as client:
        first = client.post("/a/breaks/v1/graph/invoke", json=say("hi"), headers=key())
        again = client.post("/a/breaks/v1/graph/invoke", json=say("hi"), headers=key())
        assert first.status_code == again.status_code == 500
        assert first.content == again.content
        assert count(client) == 1


@pytest.mark.parametrize("path", ["/v1/graph/stream", "/v1/threads/t/runs/stream"])
def test_streams(client: httpx.Client, path: str) -> None:
    """The same run is told again from its beginning."""
    first = client.post(path, json=say("hi"), headers=key())
    again = client.post(path, json=say("hi"), headers=key())
    assert first.headers["x-run-id"] == again.headers["x-run-id"]
    assert first.text == again.text
    assert count(client) == 2


def test_background_runs(client: httpx.Client) -> None:
    """One run, one answer."""
    first = client.post("/v1/threads/t/runs", json=say("hi"), headers=key())
    again = client.post("/v1/threads/t/runs", json=say("hi"), headers=key())
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    assert len(client.get("/v1/threads/t/runs").json()["data"]["runs"]) == 1


def test_a_caller_who_went_away(own_api: Api, tmp_path: Path) -> None:
    """Comes back with its key, waits for the run that goes on, and gets its answer."""
    said, heard = pipes(tmp_path)
    body = say(f"{said}|{heard}")
    with own_api.client(own_api.tenant()) as client, ThreadPoolExecutor(2) as pool:
        with pytest.raises(httpx.TimeoutException):
            client.post("/a/waits/v1/graph/invoke", json=body, headers=key(), timeout=0.5)
        assert said.read_text() == "running"
        coming = pool.submit(client.post, "/a/waits/v1/graph/invoke", json=body, headers=key())
        heard.write_text("go")
        assert texts(coming.result()) == [f"{said}|{heard}", "first", "second"]
        assert count(client) == 3


@pytest.mark.slow
def test_a_process_that_was_killed(own_api: Api, tmp_path: Path) -> None:
    """What it began is gone on with under the same key: the input is there once, and so is the answer."""
    said, heard = pipes(tmp_path)
    body = say(f"{said}|{heard}")
    tenant = own_api.tenant()
    with own_api.client(tenant) as client, ThreadPoolExecutor(1) as pool:
        dying = pool.submit(client.post, "/a/waits/v1/graph/invoke", json=body, headers=key())
        assert said.read_text() == "running"
        own_api.kill()
        with pytest.raises(httpx.HTTPError):
            dying.result()
        own_api.start()
        coming = pool.submit(client.post, "/a/waits/v1/graph/invoke", json=body, headers=key())
        assert said.read_text() == "running"
        heard.write_text("go")
        answer = coming.result()
        assert texts(answer) == [f"{said}|{heard}", "first", "second"]
        assert count(client) == 3
        repeated = client.post("/a/waits/v1/graph/invoke", json=body, headers=key())
        assert repeated.content == answer.content


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    messages: list[dict[str, Any]] = json.loads(answer.content)["data"]["messages"]
    return [message["content"][0]["text"] for message in messages]
