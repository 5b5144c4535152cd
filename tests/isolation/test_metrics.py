"""Metrics tell whoever runs the service of all tenants, and a tenant of nobody: not even of itself."""

import secrets

from agentflow.utils import span_names as names
from tests.isolation.test_logs import say_it
from tests.support.agents import AGENTS
from tests.support.api import Api, running
from tests.support.run import ROOT
from tests.support.spans import OPENMETRICS, families, value


def test_no_word_of_a_tenant_is_on_the_page(migrated_database_url: str, redis_url: str) -> None:
    """Its slug and id alone, for the operator; no other tenant hears a name, count or trace of it."""
    canary = f"canary{secrets.token_hex(8)}"
    api = Api(
        migrated_database_url,
        redis_url,
        AGENTFLOW_AGENTS=AGENTS,
        AGENTFLOW_TELEMETRY="traces",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        PYTHONPATH=str(ROOT),
    )
    with running(api):
        tenant, other = api.tenant(), api.tenant()
        tenant_id = str(tenant.tenant.tenant_id)
        secret = say_it(api, tenant, canary)
        with api.client(other) as client:
            baggage = {"baggage": f"{names.TENANT}={tenant_id}"}
            for path in ("/metrics", "/a/echo/metrics", "/v1/observability/metrics", "/health/ready"):
                answer = client.get(path, headers={"accept": OPENMETRICS, **baggage})
                seen = answer.text + str(answer.headers)
                for word in (tenant_id, tenant.tenant.slug, canary, "traces_span_metrics", "trace_id"):
                    assert word not in seen, (path, word)
        with api.operator() as operator:
            page = operator.get("/metrics", headers={"accept": OPENMETRICS}).text
    assert tenant_id in page
    assert "trace_id" in page
    for word in (canary, tenant.key, other.key, api.operator_token, api.pepper, *secret):
        assert word not in page, word
    found = families(page)
    of_other = {
        "agentflow_tenant_id": str(other.tenant.tenant_id),
        "http_route": "/v1/observability/{thread_id}",
    }
    assert value(found, "traces_span_metrics_calls_total", **of_other) == 1
