"""One trace from a request through the queue to whoever is called, as a collector sees it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import yaml

from agentflow.utils import span_names as names
from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, running_api, say
from tests.support.openai_stub import OpenAIStub, Reply
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.run import ROOT
from tests.support.waiting import soon
from tests.support.webhook_server import webhook_server
from tests.support.worker import running_worker

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT = 2, 3
ERROR = 2


@pytest.fixture
def collector() -> Iterator[Collector]:
    with otlp_collector() as found:
        yield found


def hosted(model_url: str, collector: Collector) -> dict[str, str]:
    return {
        "AGENTFLOW_AGENTS": f"{AGENTS},traced=tests.support.traced_agent:graph",
        "AGENTFLOW_TEST_MODEL_URL": model_url,
        "AGENTFLOW_ALLOW_PRIVATE_WEBHOOKS": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "PYTHONPATH": str(ROOT),
    }


@contextmanager
def service(url: str, redis_url: str, environment: dict[str, str]) -> Iterator[Api]:
    """An API and a worker; when the block is left both have sent what they had to tell."""
    with running_api(url, redis_url, **environment) as api:
        of_worker = {
            **environment,
            "AGENTFLOW_DATABASE_URL": databases.app_url(url),
            "AGENTFLOW_KEY_PEPPER": api.pepper,
        }
        with running_worker(url, redis_url, **of_worker):
            yield api


def done(client: httpx.Client, run: dict[str, Any]) -> bool:
    found = client.get(f"/v1/threads/t/runs/{run['run_id']}").json()["data"]["run"]
    assert found["status"] not in ("error", "cancelled"), found
    return bool(found["status"] == "success")


def test_one_trace_across_api_queue_and_worker(  # noqa: PLR0915 - one run is looked at from all sides
    migrated_database_url: str, redis_url: str, collector: Collector
) -> None:
    """Request, quota, run, lock, checkpoints, statements, model, tool, webhook: the client's trace id."""
    with OpenAIStub() as stub, webhook_server() as hook:
        stub.script += [Reply(calls=[("look_up", {"word": "x"})]), Reply("done")]
        environment = hosted(stub.base_url, collector)
        with service(migrated_database_url, redis_url, environment) as api:
            tenant = api.tenant()
            with api.operator() as operator:
                limits = {"limits": {"requests_per_minute": 10_000}}
                operator.patch(f"/v1/admin/tenants/{tenant.tenant.slug}", json=limits).raise_for_status()
            with api.client(tenant) as client:
                made = client.post(
                    "/a/traced/v1/threads/t/runs",
                    json={**say("hi", None), "webhook": hook.url},
                    headers={
                        "traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01",
                        "baggage": "agentflow.tenant.id=x",
                    },
                )
                assert made.is_success, made.text
                soon(lambda: done(client, made.json()["data"]["run"]), within_s=60)
            told = hook.called()
        asked = stub.asked
    spans = [span for span in collector.spans() if span["trace_id"] == TRACE_ID]
    by_id = {span["span_id"]: span for span in spans}

    def path(span: dict[str, Any]) -> list[str]:
        above = by_id.get(span["parent_id"])
        return [span["name"], *([] if above is None else path(above))]

    def named(name: str, service: str = "agentflow-worker") -> list[dict[str, Any]]:
        return [span for span in spans if (span["name"], span["service"]) == (name, service)]

    [request] = named("POST /v1/threads/{thread_id}/runs", "agentflow-api")
    assert (request["kind"], request["parent_id"]) == (SERVER, PARENT_ID)
    [run] = named("invoke_agent traced")
    assert path(run) == ["invoke_agent traced", "POST /v1/threads/{thread_id}/runs"]
    assert run["attributes"][names.AGENT] == "traced"
    run_id = run["attributes"][names.RUN]
    assert run_id == made.json()["data"]["run"]["run_id"]
    chats, tools = named("chat some-model"), named("execute_tool look_up")
    assert [path(span)[1:3] for span in chats] == [["node MAIN", "invoke_agent traced"]] * 2
    assert [path(span)[1:3] for span in tools] == [["node TOOL", "invoke_agent traced"]]
    for span in (request, run, *chats, *tools, *named("checkpoint.put"), *named("thread.lock.acquire")):
        assert span["attributes"][names.TENANT] == str(tenant.tenant.tenant_id)
        assert span["attributes"][names.PLACEMENT] == "pool"
    [asked_quota] = named("quota.check", "agentflow-api")
    assert path(asked_quota) == ["quota.check", request["name"]]
    assert asked_quota["attributes"][names.DECISION] == "allowed"
    [lock] = named("thread.lock.acquire")
    assert lock["attributes"][names.LOCK] == "acquired"
    puts = named("checkpoint.put")
    assert len(puts) == 4
    assert all(put["attributes"][names.BYTES] > 0 for put in puts)
    [read] = named("checkpoint.get")[:1]
    assert read["attributes"][names.CACHE] == "miss"
    statements = [span for span in spans if span["attributes"].get(names.DB_SYSTEM) == "postgresql"]
    assert {span["kind"] for span in statements} == {CLIENT}
    assert ["INSERT agentflow_runs", request["name"]] in [path(span) for span in statements]
    assert any(path(span)[1:] == path(puts[0]) for span in statements)
    calls = [one for one in spans if one["attributes"].get(names.DB_SYSTEM) == "redis"]
    assert any(path(one)[1] == "thread.lock.acquire" for one in calls)
    [sent] = named("POST")
    assert path(sent) == ["POST", request["name"]]
    assert sent["attributes"][names.HTTP_STATUS] == 200
    assert told.headers["traceparent"] == f"00-{TRACE_ID}-{sent['span_id']}-01"
    assert [one.traceparent for one in asked] == [f"00-{TRACE_ID}-{chat['span_id']}-01" for chat in chats]


def test_what_is_not_sampled_is_not_sent(
    migrated_database_url: str, redis_url: str, collector: Collector
) -> None:
    """Neither by the API nor by the worker, which hears of it through the queue; it is stored."""
    with OpenAIStub() as stub:
        environment = hosted(stub.base_url, collector)
        with (
            service(migrated_database_url, redis_url, environment) as api,
            api.client(api.tenant()) as client,
        ):
            made = client.post(
                "/a/echo/v1/threads/t/runs",
                json=say("hi", None),
                headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"},
            )
            assert made.is_success, made.text
            soon(lambda: done(client, made.json()["data"]["run"]), within_s=60)
            soon(lambda: client.get("/v1/observability/t").json()["data"]["run"]["spans"] != [], within_s=60)
            shown = client.get("/v1/observability/t").json()["data"]["run"]["spans"]
    assert {span["trace_id"] for span in shown} == {TRACE_ID}
    assert not [span for span in collector.spans() if span["trace_id"] == TRACE_ID]


def test_as_shipped_a_failure_is_sent_whatever_its_client_samples(
    migrated_database_url: str, redis_url: str, collector: Collector
) -> None:
    """Clients that trace one request of a hundred leave out the others; the collector keeps what failed."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    shipped = {n: v for n, v in compose["services"]["api"]["environment"].items() if n.startswith("OTEL_")}
    environment = {
        "AGENTFLOW_AGENTS": AGENTS,
        "PYTHONPATH": str(ROOT),
        **shipped,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
    }
    with (
        running_api(migrated_database_url, redis_url, **environment) as api,
        api.client(api.tenant()) as client,
    ):
        unsampled = {"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-00"}
        failed = client.post("/a/breaks/v1/graph/invoke", json=say("hi"), headers=unsampled)
        assert failed.status_code == 500
    statuses = {span["name"]: span["status"] for span in collector.spans() if span["trace_id"] == TRACE_ID}
    assert statuses["POST /v1/graph/invoke"] == statuses["invoke_agent breaks"] == ERROR
