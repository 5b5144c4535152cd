"""What counting a span costs, and a scrape with a thousand tenants: its size, and its time."""

import time
import uuid
from collections.abc import Mapping

from opentelemetry.trace import StatusCode, Tracer

from agentflow_telemetry import Metrics
from tests.benchmarks.bench import Bench
from tests.support.spans import OPENMETRICS, SERVER, counting

TENANTS = 1000
ROUTES = ("/v1/graph/invoke", "/v1/graph/stream", "/v1/threads/{thread_id}/messages", "/v1/threads")
STATUSES = (200, 429, 503)
# What a request leaves beside its own span.
BELOW: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("quota.check", {"agentflow.quota.name": "requests", "agentflow.quota.decision": "allowed"}),
    ("quota.check", {"agentflow.quota.name": "runs", "agentflow.quota.decision": "rejected"}),
    ("thread.lock.acquire", {"agentflow.lock.outcome": "acquired"}),
    ("thread.lock.acquire", {"agentflow.lock.outcome": "busy"}),
    ("checkpoint.get", {"agentflow.cache.result": "hit"}),
    ("checkpoint.get", {"agentflow.cache.result": "miss"}),
    ("checkpoint.put", {}),
    ("checkpoint.list", {}),
    ("invoke_agent assistant", {"gen_ai.agent.name": "assistant"}),
    ("node MAIN", {}),
    ("chat large", {"gen_ai.request.model": "large"}),
    ("execute_tool search", {"gen_ai.tool.name": "search"}),
    ("INSERT agentflow_checkpoints", {}),
    ("SELECT agentflow_threads", {}),
)
_SPANS = 2000


async def measure_metrics(bench: Bench) -> None:
    """Every tenant leaves spans of every kind, some of them more; CPU time: other things run meanwhile."""
    tenants = [str(uuid.UUID(int=number)) for number in range(TENANTS)]
    metrics = Metrics("agentflow-api")
    with counting(metrics) as tracer:
        for tenant in tenants[-100:] * 3 + tenants:
            _work(tracer, tenant)
        await metrics.page()
        for tenant in tenants:
            _work(tracer, tenant)
        span = tracer.start_span("checkpoint.put", attributes={"agentflow.tenant.id": tenants[-1]})
        span.end()
    sizes, scrapes, counts = [], [], []
    for _ in range(bench.sizes.rounds):
        began = time.process_time()
        page = await metrics.page(OPENMETRICS)
        scrapes.append((time.process_time() - began) * 1e3)
        sizes.append(len(page.text.encode()) / 1e6)
        began = time.process_time()
        for _ in range(_SPANS):
            metrics.spans.on_end(span)  # type: ignore[arg-type]  # what the SDK makes can be read
        counts.append((time.process_time() - began) / _SPANS * 1e6)
    bench.report.add("metrics.size", "a scrape with 1000 tenants", "MB", sizes)
    bench.report.add("metrics.scrape", "its CPU time", "ms", scrapes)
    bench.report.add("metrics.span", "counting a span, CPU time", "us", counts)


def _work(tracer: Tracer, tenant: str) -> None:
    whose = {"agentflow.tenant.id": tenant, "agentflow.placement": "pool"}
    for route in ROUTES:
        for status in STATUSES:
            asked: dict[str, str | int] = {"http.route": route, "http.response.status_code": status}
            request = tracer.start_span(f"POST {route}", kind=SERVER, attributes={**whose, **asked})
            if status >= 500:
                request.set_status(StatusCode.ERROR)
            request.end()
    for name, said in BELOW:
        tracer.start_span(name, attributes={**whose, **said}).end()
