"""The API as a process: its settings, its end, its traces, and browsers."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.support.api import Api, _children, running_api, say
from tests.support.otlp_collector import otlp_collector

DOWN = "postgresql+asyncpg://u:secret-word@127.0.0.1:1/x"
GOOD = {
    "AGENTFLOW_DATABASE_URL": DOWN,
    "AGENTFLOW_REDIS_URL": "none",
    "AGENTFLOW_KEY_PEPPER": "secret-word" * 3,
    "AGENTFLOW_PORT": "0",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"AGENTFLOW_DATABASE_URL": ""}, "Set AGENTFLOW_DATABASE_URL"),
        ({"AGENTFLOW_DATABASE_URL": "mysql://u:secret-word@h/x"}, "postgresql+asyncpg://user:password@"),
        ({"AGENTFLOW_REDIS_URL": ""}, "Set AGENTFLOW_REDIS_URL"),
        ({"AGENTFLOW_REDIS_URL": "http://secret-word"}, "redis_url must be redis://"),
        ({"AGENTFLOW_KEY_PEPPER": "secret-word"}, "at least 32 characters"),
        ({"AGENTFLOW_OPERATOR_TOKEN": "secret-word"}, "at least 32 characters"),
        ({"AGENTFLOW_OPERATOR_TOKEN": "secret-w\u00f6rd" * 4}, "printable ASCII"),
        ({"AGENTFLOW_PORT": "eighty"}, "AGENTFLOW_PORT must be a whole number"),
        ({"AGENTFLOW_API_WORKERS": "0"}, "AGENTFLOW_API_WORKERS must be"),
        ({"AGENTFLOW_AGENTS": "Bad Name=x:y"}, "AGENTFLOW_AGENTS"),
        ({"AGENTFLOW_AGENTS": "a=no_such_module:graph"}, "no_such_module"),
        ({"AGENTFLOW_AGENTS": "a=agentflow_hosting.agents.echo:nothing"}, "nothing"),
        ({"AGENTFLOW_AGENTS": "a=agentflow_hosting.agents.echo:END"}, "StateGraph"),
    ],
    ids=str,
)
def test_wrong_settings_are_told(change: dict[str, str], words: str) -> None:
    """By name, with what to write; exit code 1, no trace, no secret."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTFLOW_")}
    done = subprocess.run(
        [sys.executable, "-m", "agentflow_api"],
        env={**environment, **GOOD, **change}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret-word" not in done.stderr + done.stdout


def test_it_starts_before_its_database(redis_url: str) -> None:
    """And says that it is not ready; what needs no database is served."""
    with (
        running_api(DOWN, redis_url, AGENTFLOW_DATABASE_URL=DOWN) as api,
        api.client() as client,
    ):
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
        assert "secret-word" not in ready.text
        assert "127.0.0.1" not in ready.text
        assert client.get("/ping").status_code == 200


def test_workers_end_with_their_parent(migrated_database_url: str, redis_url: str) -> None:
    """A killed main process leaves nobody behind who holds the port."""
    api = Api(migrated_database_url, redis_url, AGENTFLOW_API_WORKERS="2")
    api.start()
    assert api._process is not None
    workers = _children(api._process.pid)
    assert len(workers) >= 2
    api._process.kill()
    api._process.wait()
    deadline = time.monotonic() + 60
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker was left behind"
        time.sleep(0.05)
    api.start()
    assert api.stop() == 0


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_an_idle_client_does_not_hold_up_the_end(migrated_database_url: str, redis_url: str) -> None:
    """A connection kept open is closed, not waited for."""
    api = Api(migrated_database_url, redis_url)
    api.start()
    with api.client() as client:
        assert client.get("/ping").status_code == 200
        began = time.monotonic()
        assert api.stop() == 0
        assert time.monotonic() - began < 15


def test_several_workers_serve_one_conversation(migrated_database_url: str, redis_url: str) -> None:
    """Whoever takes a request, the thread is the same."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_API_WORKERS="2") as api:
        tenant = api.tenant()
        for _ in range(10):  # a connection each, so that both get some
            response = httpx.post(
                f"{api.base_url}/a/echo/v1/graph/invoke", json=say("hi"), headers=tenant.headers, timeout=60
            )
            assert response.status_code == 200
        with api.client(tenant) as client:
            assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) == 20


def test_traces_tell_routes_and_nothing_else(migrated_database_url: str, redis_url: str) -> None:
    """A span per request arrives at the collector, before the process ends; no text, name, thread or key."""
    with otlp_collector() as collector:
        with running_api(
            migrated_database_url, redis_url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint
        ) as api:
            tenant = api.tenant()
            with api.client(tenant) as client:
                client.post("/a/echo/v1/graph/invoke", json=say("secret-text", "secret-thread"))
                client.get("/v1/threads/secret-thread/state?search=secret-text")
        spans = collector.spans()
    assert {span["service"] for span in spans} == {"agentflow-api"}
    names = [span["name"] for span in spans]
    assert names.count("POST /v1/graph/invoke") == 1
    assert names.count("GET /v1/threads/{thread_id}/state") == 1
    invoked = next(span for span in spans if span["name"].startswith("POST"))
    assert invoked["attributes"]["http.response.status_code"] == 200
    assert invoked["attributes"]["gen_ai.agent.name"] == "echo"
    assert invoked["attributes"]["agentflow.tenant.id"] == str(tenant.tenant.tenant_id)
    assert invoked["attributes"]["agentflow.placement"] == "pool"
    sent = b"".join(collector.raw)
    for secret in ("secret-text", "secret-thread", tenant.key, tenant.tenant.slug):
        assert secret.encode() not in sent


def test_browsers_are_let_in_from_where_they_may(migrated_database_url: str, redis_url: str) -> None:
    """Preflight and answers, errors too, for the origins that are set; nothing for others."""
    good, bad = "https://playground.example", "https://elsewhere.example"
    asking = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    with (
        running_api(migrated_database_url, redis_url, AGENTFLOW_CORS_ORIGINS=good) as api,
        api.client() as client,
    ):
        preflight = client.options("/v1/graph/invoke", headers={"origin": good, **asking})
        assert preflight.status_code in (200, 204)
        assert preflight.headers["access-control-allow-origin"] == good
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        refused = client.post("/v1/graph/invoke", json={}, headers={"origin": good})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == good
        assert "x-request-id" in refused.headers["access-control-expose-headers"]
        for response in (
            client.options("/v1/graph/invoke", headers={"origin": bad, **asking}),
            client.get("/ping", headers={"origin": bad}),
        ):
            assert response.headers.get("access-control-allow-origin") not in (bad, "*")
