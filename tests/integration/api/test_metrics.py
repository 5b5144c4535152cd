"""`GET /metrics` of a running API: who may read it, what it counts, and that several processes agree."""

import gzip

import httpx

from tests.support.api import Api, TenantKey, running_api, say
from tests.support.spans import OPENMETRICS, families, lines, value

CALLS = "traces_span_metrics_calls_total"
SECONDS = "traces_span_metrics_duration_seconds"


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
