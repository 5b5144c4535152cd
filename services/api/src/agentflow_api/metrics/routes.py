"""`GET /metrics`: what all processes of the API count, for whoever runs the service."""

import asyncio
from typing import Any

from litestar import Request, Response, get

from agentflow_api.http.credentials import require_operators_token
from agentflow_api.http.problems import NotThereError
from agentflow_api.wiring import Wiring
from agentflow_telemetry.page import packed


@get("/metrics", guards=[require_operators_token], include_in_schema=False)
async def get_metrics(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Counts, times and gauges as text: OpenMetrics with exemplars, or Prometheus's own, as the client takes.

    It asks nothing of Postgres, and answers while that is away.
    """
    if wiring.metrics is None:
        raise NotThereError("There are no metrics: AGENTFLOW_TELEMETRY is off.")
    page = await wiring.metrics.page(request.headers.get("accept", ""))
    headers = {"vary": "accept, accept-encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(page.text.encode(), media_type=page.media_type, headers=headers)
    body = await asyncio.to_thread(packed, page.text)
    return Response(body, media_type=page.media_type, headers={**headers, "content-encoding": "gzip"})
