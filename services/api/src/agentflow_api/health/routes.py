"""`/ping` and `/health/ready`: public, and silent about everything else."""

import asyncio

from litestar import Response, get
from redis.exceptions import RedisError

from agentflow_api.http.envelope import success
from agentflow_api.wiring import Wiring


@get("/ping")
async def ping() -> Response[bytes]:
    """The process serves."""
    return success("pong")


@get("/health/ready")
async def ready(wiring: Wiring) -> Response[bytes]:
    """Requests can be served: Postgres answers. Without Redis it goes on, slower, and says `degraded`.

    `quotas` says the same of the Redis that counts them, which may be another one.
    503 with Retry-After while Postgres is away.
    """
    await wiring.role.require()
    await wiring.repository.ping()
    await wiring.checkpointer.asetup()
    redis, quotas = await asyncio.gather(redis_state(wiring), wiring.quotas.state())
    return success({"postgres": "ok", "redis": redis, "quotas": quotas})


async def redis_state(wiring: Wiring) -> str:
    """Of the cache: `ok`, `degraded` or `off`. Asked anew: what the last run saw may be long ago."""
    if wiring.redis is None:
        return "off"
    try:
        await wiring.redis.ping()
    except (RedisError, OSError, TimeoutError):
        return "degraded"
    return "ok"
