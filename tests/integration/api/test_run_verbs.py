"""Runs with their worker: waiting for them, cancelling them, coming back to what is gone."""

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_hosting.run_repository import RunRepository
from agentflow_hosting.runs import NewRun
from tests.support import databases
from tests.support.agents import AGENTS, pipes
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.run import ROOT
from tests.support.waiting import soon
from tests.support.worker import running_worker

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def agents_api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """An API that hosts the tests' agents, and a worker."""
    servers, template = request.getfixturevalue("servers"), request.getfixturevalue("template")
    name = databases.new_name("verbs")
    databases.create(servers.database_url, name, template)
    more = {"AGENTFLOW_AGENTS": AGENTS, "PYTHONPATH": str(ROOT)}
    try:
        url = databases.url_of(servers.database_url, name)
        with running_api(url, servers.redis_url, **more) as api:
            app_url, pepper = databases.app_url(url), api.pepper
            with running_worker(
                url,
                servers.redis_url,
                AGENTFLOW_DATABASE_URL=app_url,
                AGENTFLOW_KEY_PEPPER=pepper,
                **more,
            ):
                yield api
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def mine(agents_api: Api) -> TenantKey:
    return agents_api.tenant()


@pytest.fixture
def client(agents_api: Api, mine: TenantKey) -> Iterator[httpx.Client]:
    with agents_api.client(mine) as client:
        yield client


def asked(api: Api, statement: str, *values: Any) -> Any:
    """The first value of a statement's answer."""

    async def ask() -> Any:
        connection = await asyncpg.connect(api.database_url.replace("+asyncpg", "", 1))
        try:
            return await connection.fetchval(statement, *values)
        finally:
            await connection.close()

    return databases.run(ask())


def queued(client: httpx.Client, agent: str, text: str, thread: str = "t", **more: Any) -> dict[str, Any]:
    answer = client.post(f"/a/{agent}/v1/threads/{thread}/runs", json=say(text, None, **more))
    assert answer.status_code == 202, answer.text
    run: dict[str, Any] = answer.json()["data"]["run"]
    return run


def now(client: httpx.Client, run_id: str, thread: str = "t") -> dict[str, Any]:
    run: dict[str, Any] = client.get(f"/v1/threads/{thread}/runs/{run_id}").json()["data"]["run"]
    return run


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [message["content"][0]["text"] for message in answer.json()["data"]["messages"]]


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_whoever_waits_and_goes_away(
    agents_api: Api, mine: TenantKey, client: httpx.Client, tmp_path: Path
) -> None:
    """Is not waited for: the key is let go of while the run goes on, and who comes back gets its answer."""
    said, heard = pipes(tmp_path)
    key, body = {"idempotency-key": "w-1"}, say(f"{said}|{heard}", None)
    path = "/a/waits/v1/threads/t/runs/wait"
    with closing(HTTPConnection("127.0.0.1", agents_api.port)) as connection:
        connection.request("POST", path, json.dumps(body), {**mine.headers, **key})
        assert said.read_text() == "running"
    held = "SELECT held_until > now() FROM agentflow_idempotency WHERE tenant_id = $1"
    soon(lambda: not asked(agents_api, held, mine.tenant.tenant_id), WITHIN_S)
    heard.write_text("go")
    answer = client.post(path, json=body, headers=key)
    assert answer.json()["data"]["run"]["status"] == "success", answer.text
    assert len(client.get("/v1/runs").json()["data"]["runs"]) == 1
    assert client.post(path, json=body, headers=key).content == answer.content


def test_whoever_waits_is_let_in_no_more(agents_api: Api, mine: TenantKey, client: httpx.Client) -> None:
    """The answer is a refusal, at once; the run's key is not free for a second run."""
    run = queued(client, "echo", "hi", after_s=3600)
    path = f"/v1/threads/t/runs/{run['run_id']}"
    key = {"idempotency-key": "j-1"}
    with agents_api.operator() as operator, ThreadPoolExecutor(2) as pool:
        joining = pool.submit(client.get, f"{path}/join")
        wait = pool.submit(
            client.post, "/v1/threads/o/runs/wait", json=say("x", None, after_s=3600), headers=key
        )
        made = "SELECT count(*) FROM agentflow_runs WHERE tenant_id = $1"
        soon(lambda: asked(agents_api, made, mine.tenant.tenant_id) == 2, WITHIN_S)
        slug = mine.tenant.slug
        assert operator.post(f"/v1/admin/tenants/{slug}/suspend").status_code == 200
        assert joining.result().status_code == wait.result().status_code == 403
        assert operator.post(f"/v1/admin/tenants/{slug}/resume").status_code == 200
        soon(lambda: client.get("/v1/runs").status_code == 200, WITHIN_S)
        again = pool.submit(
            client.post, "/v1/threads/o/runs/wait", json=say("x", None, after_s=3600), headers=key
        )
        [other] = soon(lambda: client.get("/v1/threads/o/runs").json()["data"]["runs"], WITHIN_S)
        assert client.post(f"/v1/threads/o/runs/{other['run_id']}/cancel").status_code == 200
        assert again.result().json()["data"]["run"]["run_id"] == other["run_id"]
    assert client.post(f"{path}/cancel").json()["data"]["run"]["status"] == "cancelled"


def test_cancelling_stops_nobody_else(client: httpx.Client, tmp_path: Path) -> None:
    """A run that waits for its thread is cancelled; the one that has the thread goes on."""
    said, heard = pipes(tmp_path)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(client.post, "/a/waits/v1/graph/invoke", json=say(f"{said}|{heard}"))
        assert said.read_text() == "running"
        run = queued(client, "echo", "hi")
        soon(lambda: now(client, run["run_id"])["status"] == "running", WITHIN_S)
        key = {"idempotency-key": "c-1"}
        path = f"/v1/threads/t/runs/{run['run_id']}/cancel"
        first = client.post(path, headers=key)
        assert first.status_code == 200
        assert client.post(path, headers=key).content == first.content
        soon(lambda: now(client, run["run_id"])["status"] == "cancelled", WITHIN_S)
        heard.write_text("go")
        assert texts(going.result())[1:] == ["first", "second"]


def test_what_a_run_said_is_kept_no_more(agents_api: Api, mine: TenantKey, client: httpx.Client) -> None:
    """410 instead of an answer that breaks off, however it is asked for."""
    key = {"idempotency-key": "s-1"}
    said = client.post("/v1/graph/stream", json=say("hi"), headers=key)
    run_id = said.headers["x-run-id"]
    forget = "DELETE FROM agentflow_run_chunks WHERE tenant_id = $1"
    asked(agents_api, forget, mine.tenant.tenant_id)
    path = f"/v1/threads/t/runs/{run_id}/stream"
    for headers in (
        {},
        {"accept": "text/event-stream"},
        {"accept": "text/event-stream", "last-event-id": "0"},
    ):
        assert code(client.get(path, headers=headers)) == (410, "RUN_CHUNKS_GONE")
    assert code(client.post("/v1/graph/stream", json=say("hi"), headers=key)) == (410, "RUN_CHUNKS_GONE")
    assert client.get(f"{path}?after={len(said.text.splitlines()) - 1}").text == ""


def test_a_key_of_a_run_that_was_deleted(client: httpx.Client) -> None:
    """The run is not made a second time."""
    for path in ("/v1/graph/stream", "/v1/threads/t/runs/stream"):
        key = {"idempotency-key": path}
        assert client.post(path, json=say("hi"), headers=key).status_code == 200
        assert client.delete("/v1/threads/t").status_code == 200
        assert code(client.post(path, json=say("hi"), headers=key)) == (410, "RUN_CHUNKS_GONE")
        assert client.get("/v1/threads/t").status_code == 404


def test_a_number_that_cannot_be_written_again(client: httpx.Client) -> None:
    """400 before anything is made: it would be read as an infinity."""
    body = b'{"messages": [{"role": "user", "content": "x"}], "metadata": {"x": 1e999}}'
    for path in ("/v1/threads/t/runs", "/v1/threads/t/runs/stream"):
        assert code(client.post(path, content=body)) == (400, "BAD_REQUEST")


def test_a_stream_that_lost_its_process_waits_for_its_thread(
    agents_api: Api, mine: TenantKey, client: httpx.Client, tmp_path: Path
) -> None:
    """Nobody is there to be told that the thread is busy: whoever takes the run over tries again."""
    said, heard = pipes(tmp_path)
    thread = f"tenant-{mine.tenant.slug}:t"
    new = NewRun(
        mine.tenant.tenant_id, uuid.uuid4(), thread, None, "key", "echo", say("hi", None),
        kind="stream", strategy="reject",
    )  # fmt: skip

    async def lost() -> None:
        engine = create_async_engine(agents_api.database_url)
        try:
            await RunRepository(engine, lease_s=0.001).create(new, holder=uuid.uuid4())
        finally:
            await engine.dispose()

    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(client.post, "/a/waits/v1/graph/invoke", json=say(f"{said}|{heard}"))
        assert said.read_text() == "running"
        databases.run(lost())
        soon(lambda: now(client, str(new.run_id))["attempts"] >= 3, WITHIN_S)
        heard.write_text("go")
        assert texts(going.result())[1:] == ["first", "second"]
    soon(lambda: now(client, str(new.run_id))["finished_at"], WITHIN_S)
    assert now(client, str(new.run_id))["status"] == "success"


def test_the_same_answer_twice_in_the_queue(agents_api: Api, mine: TenantKey, client: httpx.Client) -> None:
    """It is for what was asked when it was given: the second one does not answer the next question."""
    asks = client.post("/a/twice/v1/graph/invoke", json=say("hi"))
    assert [one["value"] for one in asks.json()["data"]["meta"]["interrupts"]] == ["really?"]
    body = {"messages": [], "resume": "yes", "after_s": 3600}
    made = [client.post("/a/twice/v1/threads/t/runs", json=body).json()["data"]["run"] for _ in range(2)]
    soon_ready = "UPDATE agentflow_runs SET ready_at = now() WHERE tenant_id = $1"
    asked(agents_api, soon_ready, mine.tenant.tenant_id)
    soon(lambda: all(now(client, run["run_id"])["finished_at"] for run in made), WITHIN_S)
    first, second = (now(client, run["run_id"]) for run in made)
    assert (first["status"], second["status"]) == ("interrupted", "error")
    assert second["error"]["code"] == "INTERRUPT_ALREADY_ANSWERED"
    [waits] = client.get("/v1/threads/t").json()["data"]["thread_data"]["thread"]["interrupts"]
    assert waits["value"] == "really really?"
