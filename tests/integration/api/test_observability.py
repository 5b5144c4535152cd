"""What runs did, over HTTP: spans by run, whose they are, and what is known of runs that were cut off."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from agentflow.utils import span_names as names
from tests.support.agents import AGENTS, SECRET, pipes
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.openai_stub import OpenAIStub, Reply
from tests.support.run import ROOT
from tests.support.traced_agent import MODEL_KEY
from tests.support.waiting import soon
from tests.support.worker import running_worker

HOSTED = {
    "AGENTFLOW_AGENTS": f"{AGENTS},traced=tests.support.traced_agent:graph",
    "AGENTFLOW_TEST_MODEL_URL": "http://127.0.0.1:1/v1",
    "PYTHONPATH": str(ROOT),
}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def stub() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture
def hosted(migrated_database_url: str, redis_url: str, stub: OpenAIStub) -> Iterator[Api]:
    """An API with the tests' agents."""
    with running_api(
        migrated_database_url, redis_url, **HOSTED | {"AGENTFLOW_TEST_MODEL_URL": stub.base_url}
    ) as api:
        yield api


def invoke(client: httpx.Client, agent: str, text: str = "hi", **headers: str) -> httpx.Response:
    return client.post(f"/a/{agent}/v1/graph/invoke", json=say(text), headers=headers)


def observed(client: httpx.Client, thread_id: str = "t", **query: str) -> dict[str, Any]:
    response = client.get(f"/v1/observability/{thread_id}", params=query)
    assert response.status_code == 200, response.text
    data: dict[str, Any] = response.json()["data"]
    assert set(data) == {"thread_id", "run_count", "run_ids", "run"}
    assert data["thread_id"] == thread_id
    assert data["run_count"] == len(data["run_ids"])
    return data


def rows(url: str, statement: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(url.replace("+asyncpg", "", 1))
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    return asyncio.run(fetch())


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_a_run_shows_what_it_did(hosted: Api, stub: OpenAIStub, how: str) -> None:
    """Nodes below the run, the model's and the tool's calls below their nodes, with what they cost."""
    stub.script += [Reply(calls=[("look_up", {"word": "secret-word"})]), Reply("secret-answer")]
    with hosted.client(hosted.tenant()) as client:
        said = client.post(
            f"/a/traced/v1/graph/{how}",
            json=say("secret-question"),
            headers={"traceparent": TRACEPARENT},
        )
        assert said.status_code == 200
        assert "secret-answer" in said.text
        answer = client.get("/v1/observability/t")
        run = observed(client)["run"]
    assert set(run) == {
        "run_id", "thread_id", "status", "started_at", "finished_at", "duration_ms", "spans", "events",
        "usage", "llm_calls", "tool_calls", "iterations",
    }  # fmt: skip
    assert (run["status"], run["thread_id"]) == ("completed", "t")
    assert (run["llm_calls"], run["tool_calls"], run["iterations"]) == (2, 1, 3)
    assert run["usage"] == {"input_tokens": 22, "output_tokens": 14, "total_tokens": 36}
    spans = run["spans"]
    by_id = {span["span_id"]: span for span in spans}
    shape = [(span["name"], by_id.get(span["parent_span_id"], {}).get("name")) for span in spans]
    assert shape == [
        ("invoke_agent traced", None),
        ("node MAIN", "invoke_agent traced"),
        ("chat some-model", "node MAIN"),
        ("node TOOL", "invoke_agent traced"),
        ("execute_tool look_up", "node TOOL"),
        ("node MAIN", "invoke_agent traced"),
        ("chat some-model", "node MAIN"),
    ]
    assert spans[0]["parent_span_id"] not in (None, TRACEPARENT.split("-")[2]), "the request stands between"
    assert {span["trace_id"] for span in spans} == {TRACEPARENT.split("-")[1]}
    chat, tool = spans[2]["attributes"], spans[4]["attributes"]
    assert (chat[names.OPERATION], chat[names.MODEL], chat[names.PROVIDER]) == (
        "chat",
        "some-model",
        "openai",
    )
    assert (chat[names.TOKENS_IN], chat[names.TOKENS_OUT]) == (11, 7)
    assert (tool[names.OPERATION], tool[names.TOOL], tool[names.ATTEMPT]) == ("execute_tool", "look_up", 1)
    assert all(span["duration_ms"] >= 0 and span["status"] == "ok" for span in spans)
    assert [event["attributes"][names.NODE] for event in run["events"]] == [
        "__start__",
        "MAIN",
        "TOOL",
        "MAIN",
    ]
    kept = str(rows(hosted.database_url, "SELECT * FROM agentflow_run_traces"))
    for secret in ("secret-", MODEL_KEY):
        assert secret not in answer.text + kept


def test_runs_are_told_apart(api: Api, tenant: TenantKey) -> None:
    """The latest is shown, or the one that is asked for; null for none, 422 for what is no id."""
    with api.client(tenant) as client:
        for text in ("one", "two"):
            assert invoke(client, "echo", text).status_code == 200
        latest = observed(client)
        assert latest["run_count"] == 2
        assert latest["run"]["run_id"] == latest["run_ids"][0]
        older = observed(client, run_id=latest["run_ids"][1])
        assert older["run"]["run_id"] == latest["run_ids"][1]
        assert older["run"]["finished_at"] <= latest["run"]["started_at"]
        assert client.get("/a/echo/v1/observability/t").json()["data"] == latest
        for unknown in ("x", "\0", "'"):
            assert observed(client, run_id=unknown)["run"] is None
        assert client.get("/v1/observability/t", params={"run_id": "x" * 300}).status_code == 422
        missing = client.get("/v1/observability/u")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "THREAD_NOT_FOUND")


def test_changes_by_hand_are_no_runs(api: Api, tenant: TenantKey) -> None:
    """Messages added, a state changed or cleared, a fork: the thread's history has them, its runs do not."""
    with api.client(tenant) as client:
        ran = client.post("/a/echo/v1/graph/stream", json=say("hi"))
        before = observed(client)
        assert before["run_ids"] == [ran.headers["x-run-id"]]
        note = {"messages": say("a note")["messages"]}
        assert client.post("/v1/threads/t/messages", json=note).status_code == 200
        assert client.put("/v1/threads/t/state", json={"state": {"context_summary": "s"}}).status_code == 200
        assert client.post("/v1/threads/t/fork", json={"checkpoint": 1}).status_code == 200
        assert client.delete("/v1/threads/t/state").status_code == 200
        assert observed(client) == before
        replay = say("hi") | {"messages": [], "config": {"thread_id": "t", "checkpoint": 1}}
        assert client.post("/a/echo/v1/graph/invoke", json=replay).status_code == 200
        assert observed(client)["run_count"] == 2


def test_a_thread_of_another_user_is_missing(api: Api, tenant: TenantKey) -> None:
    """A user's token sees that user's threads: others answer as if there were none."""
    with api.client(tenant) as client:
        assert invoke(client, "echo").status_code == 200
        minted = client.post("/v1/tokens", json={"user_id": "somebody"})
        assert minted.is_success, minted.text
        token = minted.json()["data"]["token"]
    with api.with_key(token) as other:
        foreign, missing = (other.get(f"/v1/observability/{one}") for one in ("t", "u"))
        assert foreign.status_code == missing.status_code == 404
        assert foreign.json()["error"] == missing.json()["error"]


def test_a_failure_is_seen_without_its_words(hosted: Api) -> None:
    """The node and the run are errors, of a kind; what the exception said is the agent's own."""
    with hosted.client(hosted.tenant()) as client:
        assert invoke(client, "breaks").status_code == 500
        answer = client.get("/v1/observability/t")
        run = observed(client)["run"]
    assert run["status"] == "error"
    assert [(span["name"], span["status"]) for span in run["spans"]] == [
        ("invoke_agent breaks", "error"),
        ("node MAIN", "error"),
    ]
    assert run["spans"][1]["attributes"][names.ERROR]
    assert SECRET not in answer.text


def test_a_deleted_thread_shows_nothing(api: Api, tenant: TenantKey) -> None:
    """Made again under the same id it has the runs of its new life alone, and nothing else is kept."""
    with api.client(tenant) as client:
        assert invoke(client, "echo").status_code == 200
        [before] = observed(client)["run_ids"]
        kept = f"SELECT run_id FROM agentflow_run_traces WHERE tenant_id = '{tenant.tenant.tenant_id}'"
        assert len(rows(api.database_url, kept)) == 1
        assert client.request("DELETE", "/v1/threads/t").status_code == 200
        assert rows(api.database_url, kept) == []
        assert client.get("/v1/observability/t").status_code == 404
        assert invoke(client, "echo").status_code == 200
        now = observed(client)
        assert now["run_count"] == 1
        assert before not in now["run_ids"]
        assert observed(client, run_id=before)["run"] is None


def test_nothing_is_stored_when_that_is_off(migrated_database_url: str, redis_url: str) -> None:
    """What the checkpoints say is shown."""
    with (
        running_api(migrated_database_url, redis_url, AGENTFLOW_STORE_TRACES="false") as api,
        api.client(api.tenant()) as client,
    ):
        assert invoke(client, "echo").status_code == 200
        run = observed(client)["run"]
    assert (run["status"], run["iterations"], run["spans"]) == ("completed", 1, [])
    assert [event["attributes"][names.NODE] for event in run["events"]] == ["__start__", "MAIN"]
    assert run["usage"] is None
    assert rows(migrated_database_url, "SELECT FROM agentflow_run_traces") == []


def test_what_ended_is_stored_when_the_process_ends(hosted: Api) -> None:
    """Also what ended a moment before."""
    tenant = hosted.tenant()
    with hosted.client(tenant) as client:
        assert invoke(client, "spends").status_code == 200
    assert hosted.stop() == 0
    [row] = rows(hosted.database_url, "SELECT steps, tokens_in, tokens_out FROM agentflow_run_traces")
    assert tuple(row) == (2, 60, 24)


def test_a_run_that_was_cut_off_shows_what_is_known(hosted: Api, tmp_path: Path) -> None:
    """Running while it is held here; after a kill its checkpoints are left, and its end is not known."""
    running, go = pipes(tmp_path)
    tenant = hosted.tenant()
    asked = threading.Thread(target=lambda: _cut(hosted, tenant, f"{running}|{go}"))
    asked.start()
    running.read_text()
    with hosted.client(tenant) as client:
        run = observed(client)["run"]
        assert (run["status"], run["finished_at"]) == ("running", None)
    hosted.kill()
    asked.join()
    hosted.start()
    with hosted.client(tenant) as client:
        run = observed(client)["run"]
    assert (run["status"], run["finished_at"], run["spans"]) == ("unknown", None, [])
    assert [event["attributes"][names.SOURCE] for event in run["events"]] == ["input"]


def _cut(api: Api, tenant: TenantKey, text: str) -> None:
    with api.client(tenant) as client, pytest.raises(httpx.HTTPError):
        invoke(client, "waits", text)


def test_a_workers_runs_are_seen(migrated_database_url: str, redis_url: str) -> None:
    """A background run is carried out by another process; the API shows what that one stored."""
    with running_api(migrated_database_url, redis_url, **HOSTED) as api:
        given = {"AGENTFLOW_DATABASE_URL": api.environment["AGENTFLOW_DATABASE_URL"]}
        secret = {"AGENTFLOW_KEY_PEPPER": api.pepper}
        with (
            running_worker(migrated_database_url, redis_url, **HOSTED, **given, **secret),
            api.client(api.tenant()) as client,
        ):
            made = client.post("/a/spends/v1/threads/t/runs", json=say("hi", None))
            assert made.is_success, made.text
            soon(lambda: _spans(client), 180)  # a worker has to start first
            run = observed(client)["run"]
    assert (run["status"], run["iterations"]) == ("completed", 2)
    assert run["usage"]["total_tokens"] == 84


def _spans(client: httpx.Client) -> bool:
    response = client.get("/v1/observability/t")
    run = response.json()["data"]["run"] if response.status_code == 200 else None
    return run is not None and bool(run["spans"])
