"""What counting a span costs, and a scrape with a thousand tenants: its size, and its time."""

import time
import uuid

from agentflow_telemetry import Metrics
from tests.benchmarks.bench import Bench
from tests.support.spans import OPENMETRICS, counting, request

TENANTS = 1000
ROUTES = ("/v1/graph/invoke", "/v1/graph/stream", "/v1/threads/{thread_id}/messages", "/v1/threads")
STATUSES = (200, 429, 503)
_SPANS = 2000


async def measure_metrics(bench: Bench) -> None:
    """Every tenant on every route with every status, some busier; CPU time: other things run meanwhile."""
    tenants = [str(uuid.UUID(int=number)) for number in range(TENANTS)]
    metrics = Metrics("agentflow-api")
    await metrics.page()
    with counting(metrics) as tracer:
        for tenant in tenants + tenants[-100:] * 3:
            for route in ROUTES:
                for status in STATUSES:
                    request(tracer, tenant, route, status)
        await metrics.page()
        for tenant in tenants:
            for route in ROUTES:
                for status in STATUSES:
                    request(tracer, tenant, route, status)
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
            metrics.spans.on_end(span)  # type: ignore[arg-type]  # what the SDK makes is one that can be read
        counts.append((time.process_time() - began) / _SPANS * 1e6)
    bench.report.add("metrics.size", "a scrape with 1000 tenants", "MB", sizes)
    bench.report.add("metrics.scrape", "its CPU time", "ms", scrapes)
    bench.report.add("metrics.span", "counting a span, CPU time", "us", counts)
