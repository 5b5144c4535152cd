"""Spans tell whoever runs the service whose a request is, and nothing of what tenants said, named or hold."""

import secrets

from agentflow.utils import span_names as names
from tests.isolation.test_logs import say_it
from tests.support.agents import AGENTS
from tests.support.api import Api, running
from tests.support.otlp_collector import otlp_collector
from tests.support.run import ROOT

TENANT = names.TENANT


def test_no_word_of_a_tenant_leaves_in_a_span(migrated_database_url: str, redis_url: str) -> None:
    """Of good requests, bad ones, refused ones, and of a node that fails, all of them exported."""
    canary = f"canary{secrets.token_hex(8)}"
    with otlp_collector() as collector:
        api = Api(
            migrated_database_url,
            redis_url,
            AGENTFLOW_AGENTS=AGENTS,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            PYTHONPATH=str(ROOT),
        )
        with running(api):
            tenant, other = api.tenant(f"{canary}-slug"), api.tenant()
            secret = say_it(api, tenant, canary)
            with api.client(other) as client:
                claims = {
                    "baggage": f"{TENANT}={tenant.tenant.tenant_id},canary={canary}",
                    "tracestate": f"canary={canary}",
                    "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
                }
                for path in ("", f"/{canary}", f"/{canary}/state", f"?search={canary}"):
                    client.get(f"/v1/threads{path}", headers=claims)
                client.get(f"/{canary}/{canary}", headers=claims)
        sent, spans = b"".join(collector.raw), collector.spans()
    for word in (canary, tenant.key, other.key, api.operator_token, api.pepper, *secret):
        assert word.encode() not in sent, word
    claimed = [span for span in spans if span["trace_id"] == "a" * 32]
    assert {span["attributes"].get(TENANT) for span in claimed} <= {str(other.tenant.tenant_id), None}
    assert any(span["attributes"].get(TENANT) for span in claimed)
