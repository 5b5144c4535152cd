"""`/v1/observability/{thread_id}`: what the runs of a thread did. Threads of others are missing."""

from typing import Any

from litestar import Request, Response, Router

from agentflow_api.http import parameters
from agentflow_api.http.envelope import success
from agentflow_api.http.routing import get
from agentflow_api.observability import service
from agentflow_api.wiring import Wiring
from agentflow_tenancy import THREADS_READ, Principal

_MAX_RUN_ID: int = 255


@get("/{thread_id:str}")
async def observe_thread(
    request: Request[Any, Any, Any], thread_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """The thread's runs, newest first, and what one of them did: `run_id`, or the latest."""
    principal.require(THREADS_READ)
    run_id = request.query_params.get("run_id") or None
    if run_id is not None and len(run_id) > _MAX_RUN_ID:
        raise parameters.invalid("run_id", f"has at most {_MAX_RUN_ID} characters")
    stored_id = principal.stored_id(parameters.thread_id(thread_id))
    return success({"thread_id": thread_id, **await service.observed(wiring, principal, stored_id, run_id)})


observability_router = Router("/v1/observability", route_handlers=[observe_thread])
