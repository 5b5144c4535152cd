"""`/ping` and `/health/ready`: public, and silent about everything else."""

from litestar import Response, get

from agentflow_api.http.envelope import success
from agentflow_api.wiring import Wiring


@get("/ping")
async def ping() -> Response[bytes]:
    """The process serves."""
    return success("pong")


@get("/health/ready")
async def ready(wiring: Wiring) -> Response[bytes]:
    """Requests can be served: Postgres answers. Without Redis it goes on, slower, and says `degraded`.

    503 with Retry-After while Postgres is away.
    """
    await wiring.repository.ping()
    await wiring.checkpointer.asetup()
    redis = (
        "off" if wiring.settings.redis_url is None else "degraded" if wiring.checkpointer.degraded else "ok"
    )
    return success({"postgres": "ok", "redis": redis})
