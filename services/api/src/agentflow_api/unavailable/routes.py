"""The memory store and files: 503 with a clear error while none is configured."""

from litestar import HttpMethod, Response, Router

from agentflow_api.http.envelope import failure
from agentflow_api.http.routing import route
from agentflow_tenancy import GRAPH_INVOKE, Principal

_MEMORY = "This deployment has no memory store; threads keep what agents remember."
_FILES = "This deployment keeps no files; send media as a URL or as base64 in the message."


async def _no_memory(principal: Principal) -> Response[bytes]:
    """There is no memory store."""
    principal.require(GRAPH_INVOKE)
    return failure(503, "STORE_NOT_CONFIGURED", _MEMORY)


async def _no_files(principal: Principal) -> Response[bytes]:
    """There is no file store."""
    principal.require(GRAPH_INVOKE)
    return failure(503, "FILES_NOT_CONFIGURED", _FILES)


_POST = [HttpMethod.POST]
memory_router = Router(
    "/v1/store",
    route_handlers=[
        route(["/memories", "/search", "/memories/list", "/memories/forget"], http_method=_POST)(_no_memory),
        route("/memories/{memory_id:str}", http_method=[HttpMethod.POST, HttpMethod.PUT, HttpMethod.DELETE])(
            _no_memory
        ),
    ],
)
files_router = Router(
    "/v1",
    route_handlers=[
        route("/files/upload", http_method=_POST)(_no_files),
        route("/config/multimodal", http_method=[HttpMethod.GET])(_no_files),
        route(
            ["/files/{file_id:str}", "/files/{file_id:str}/info", "/files/{file_id:str}/url"],
            http_method=[HttpMethod.GET],
        )(_no_files),
    ],
)
