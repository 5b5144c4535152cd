"""`/v1/admin/health`: how the service is, for who runs it."""

from typing import Final

from litestar import Response, Router, get
from litestar.datastructures import State

from agentflow_api.health.examination import Examination, health_of
from agentflow_api.http.credentials import require_operators_token
from agentflow_api.http.envelope import success
from agentflow_api.wiring import Wiring

_KEPT: Final = "examination"


@get("/v1/admin/health", guards=[require_operators_token])
async def get_health(wiring: Wiring, state: State) -> Response[bytes]:
    """What answers, what waits, what works in a lesser way, and what the doctor found last; null at first."""
    examination: Examination = state.setdefault(_KEPT, Examination())
    return success(await health_of(wiring, examination))


health_router = Router("/", route_handlers=[get_health])
