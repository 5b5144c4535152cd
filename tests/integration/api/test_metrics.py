"""`GET /metrics` of a running API: who may read it, what it counts, and that several processes agree."""

import gzip
import os
import signal
from pathlib import Path

import httpx
import pytest

from tests.support.api import Api, TenantKey, running_api, say
from tests.support.openai_stub import USAGE, OpenAIStub, Reply
from tests.support.run import ROOT
from tests.support.spans import OPENMETRICS, families, lines, value
from tests.support.waiting import soon

CALLS = "traces_span_metrics_calls_total"
SECONDS = "traces_span_metrics_duration_seconds"
# What each run leaves, at least once.
BELOW = {
    "checkpoint.put": {"agentflow_placement": "pool"},
    "checkpoint.get": {"agentflow_placement": "pool"},
    "thread.lock.acquire": {"agentflow_lock_outcome": "acquired"},
    "quota.check": {"agentflow_quota_decision": "allowed"},
    "invoke_agent echo": {"gen_ai_agent_name": "echo"},
}


def scraped(api: Api, accept: str = OPENMETRICS) -> str:
    with api.operator() as client:
        page = client.get("/metrics", headers={"accept": accept})
    assert page.status_code == 200, page.text
    return page.text


def talk(api: Api, tenant: TenantKey, times: int) -> None:
    """So many runs, each on a connection of its own, which any process may get."""
    for number in range(times):
        with api.client(tenant) as client:
            answer = client.post("/a/echo/v1/graph/invoke", json=say("hi", f"thread-{number}"))
            assert answer.status_code == 200, answer.text


def test_only_the_operator_reads(api: Api, tenant: TenantKey) -> None:
    """Nobody else, with any credential or none; the answer to them says nothing."""
    with api.client() as client:
        assert client.get("/metrics").status_code == 401
    with api.client(tenant) as client:
        refused = client.get("/metrics")
        token = client.post("/v1/tokens", json={"user_id": "u"}).json()["data"]["token"]
    assert refused.status_code == 403
    assert "traces_span_metrics" not in refused.text
    for key in (token, "x", api.pepper):
        with api.with_key(key) as client:
            assert client.get("/metrics").status_code in {401, 403}
    assert CALLS in scraped(api)


def test_two_tenants_two_processes(migrated_database_url: str, redis_url: str) -> None:
    """Each request is counted once, whichever process it came to and whichever is asked, by tenant."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_API_WORKERS="2") as api:
        tenants = {"acme-counts": 8, "umbra-counts": 3}
        keys = {slug: api.tenant(slug) for slug in tenants}
        scraped(api)
        for slug, times in tenants.items():
            talk(api, keys[slug], times)
        pages = [families(scraped(api)) for _ in range(6)]
        for slug, times in tenants.items():
            labels = {"agentflow_tenant_id": str(keys[slug].tenant.tenant_id)}
            for found in pages:
                of = {**labels, "http_route": "/v1/graph/invoke", "span_kind": "SPAN_KIND_SERVER"}
                assert value(found, CALLS, **of, http_response_status_code="200") == times
                assert value(found, f"{SECONDS}_count", **of) == times
                assert value(found, f"{SECONDS}_sum", **of) > 0
                for name, said in BELOW.items():
                    assert value(found, CALLS, span_name=name, **labels, **said) >= times, name
            facts = [line.labels for line in lines(pages[-1], "agentflow_tenant_info")]
            found_facts = [one for one in facts if one["slug"] == slug]
            assert {(one["agentflow_tenant_id"], one["plan"], one["placement"]) for one in found_facts} == {
                (labels["agentflow_tenant_id"], "standard", "pool")
            }
        told_by = {line.labels["process"] for line in lines(pages[-1], "agentflow_degraded")}
        assert told_by == {"0", "1"}
        assert value(pages[-1], "agentflow_pool_connections", state="limit") == 2 * 30
        assert value(pages[-1], "agentflow_degraded") == 0
        assert value(pages[-1], "agentflow_pool_wait_seconds_count") > 0
        os.kill(api.serving_pid, signal.SIGKILL)
        soon(lambda: _processes(api) == {"0", "1"}, within_s=60)


def _processes(api: Api) -> set[str]:
    """Those that a page tells of; none while the killed one's connections are being reset."""
    try:
        found = families(scraped(api))
    except httpx.HTTPError:
        return set()
    return {line.labels["process"] for line in lines(found, "agentflow_degraded")}


def test_tokens_and_what_they_cost(migrated_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Of a run with two calls of a model and a tool between them."""
    prices = tmp_path / "prices.toml"
    prices.write_text("[some-model]\ninput_usd_per_million = 100\noutput_usd_per_million = 1000\n")
    with OpenAIStub() as stub:
        environment = {
            "AGENTFLOW_AGENTS": "traced=tests.support.traced_agent:graph",
            "AGENTFLOW_TEST_MODEL_URL": stub.base_url,
            "AGENTFLOW_MODEL_PRICES": str(prices),
            "PYTHONPATH": str(ROOT),
        }
        stub.script += [Reply(calls=[("look_up", {"word": "tea"})]), Reply("A drink.")]
        with running_api(migrated_database_url, redis_url, **environment) as api:
            tenant = api.tenant()
            with api.client(tenant) as client:
                answer = client.post("/a/traced/v1/graph/invoke", json=say("What is tea?"))
                assert answer.status_code == 200, answer.text
            found = families(scraped(api))
    of = {"agentflow_tenant_id": str(tenant.tenant.tenant_id), "gen_ai_request_model": "some-model"}
    into, out = 2 * USAGE["prompt_tokens"], 2 * USAGE["completion_tokens"]
    assert value(found, "agentflow_tokens_total", gen_ai_token_type="input", **of) == into
    assert value(found, "agentflow_tokens_total", gen_ai_token_type="output", **of) == out
    cost = value(found, "agentflow_cost_usd_total", **of)
    assert cost == pytest.approx((into * 100 + out * 1000) / 1e6)
    assert value(found, CALLS, span_name="chat some-model", **of) == 2
    assert value(found, CALLS, gen_ai_tool_name="look_up", span_name="execute_tool look_up") == 1


def test_nothing_of_what_tenants_hold(api: Api) -> None:
    """No thread, user, key, text or address: ids of tenants and what the operator named, and no more."""
    canary = "canary-7f3a91"
    tenant = api.tenant()
    with api.client(tenant) as client:
        body = say(f"It is {canary}.", f"{canary}-thread")
        body["config"] |= {"thread_name": canary, "thread_metadata": {"of": canary}}
        assert client.post("/a/echo/v1/graph/invoke", json=body).status_code == 200
        for method, path in (
            ("GET", f"/v1/threads/{canary}-thread/state"),
            ("GET", f"/v1/observability/{canary}-thread"),
            ("GET", f"/v1/threads/{canary}-thread/runs/{canary}"),
            ("DELETE", f"/v1/keys/{canary}"),
            ("GET", f"/v1/runs/{canary}"),
            ("GET", f"/{canary}"),
            ("POST", f"/a/{canary}/v1/graph/invoke"),
        ):
            client.request(method, path, json={}, headers={"baggage": f"agentflow.tenant.id={canary}"})
        key = client.post("/v1/keys", json={"name": canary}).json()["data"]
    page = scraped(api)
    for word in (canary, tenant.key, key["key"]["key_id"], "127.0.0.1"):
        assert word not in page


def test_forms(api: Api) -> None:
    """OpenMetrics or the older text, as it is asked for; packed for who takes that."""
    headers = {"Authorization": f"Bearer {api.operator_token}", "accept-encoding": "identity"}
    classic = httpx.get(f"{api.base_url}/metrics", headers=headers)
    assert classic.headers["content-type"].startswith("text/plain")
    assert not classic.text.endswith("# EOF\n")
    newer = httpx.get(f"{api.base_url}/metrics", headers={**headers, "accept": OPENMETRICS})
    assert newer.headers["content-type"].startswith("application/openmetrics-text")
    assert families(newer.text).keys() >= families(classic.text).keys() & {"agentflow_degraded"}
    packed = {**headers, "accept-encoding": "gzip"}
    with httpx.stream("GET", f"{api.base_url}/metrics", headers=packed) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(raw) < len(newer.content) / 3
    families(gzip.decompress(raw).decode())


def test_while_postgres_is_away(redis_url: str) -> None:
    """Then above all."""
    down = "postgresql+asyncpg://u:p@127.0.0.1:1/x"
    with running_api(down, redis_url, AGENTFLOW_DATABASE_URL=down) as api:
        with api.operator() as client:
            assert client.get("/v1/admin/partitions").status_code == 503
        found = families(scraped(api))
    assert value(found, CALLS, status_code="STATUS_CODE_ERROR", span_kind="SPAN_KIND_SERVER") >= 1


def test_off(migrated_database_url: str, redis_url: str) -> None:
    """Nothing is counted, and nothing else is different."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_TELEMETRY="off") as api:
        talk(api, api.tenant(), 1)
        with api.operator() as client:
            assert client.get("/metrics").status_code == 404
