"""The Redis servers: that they answer, evict nothing, and know the time."""

import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from agentflow.storage.checkpointer.cache import client_from_url
from agentflow_doctor.findings import Finding, doubtful, well, wrong
from agentflow_doctor.limits import clock_finding

_WITHIN_S = 5.0


async def check_redis(name: str, url: str, holds: str) -> list[Finding]:
    """Look at one server.

    Args:
        name: Of the checks: `redis` or `quota redis`.
        url: With its password.
        holds: What would be lost by an eviction.
    """
    client = client_from_url(url, timeout_s=_WITHIN_S)
    try:
        return await _look(name, client, holds)
    except (RedisError, OSError) as error:
        advice = (
            "start it, or put its URL right; until then answers come slower and limits are kept per process"
        )
        return [wrong(name, f"no answer ({type(error).__name__})", advice)]
    finally:
        await client.aclose()


async def _look(name: str, client: Redis, holds: str) -> list[Finding]:
    memory: dict[str, Any] = await client.info("memory")
    replication: dict[str, Any] = await client.info("replication")
    before = time.time()
    seconds, micros = await client.time()
    clock = clock_finding(f"{name} clock", "Redis", seconds + micros / 1e6, before, time.time())
    return [_role(name, replication), _eviction(name, memory, holds), clock]


def _role(name: str, replication: dict[str, Any]) -> Finding:
    if replication.get("role") == "slave":
        return wrong(name, "it is a replica, which takes no writes", "name the primary in the URL")
    return well(name, "it answers, and takes writes")


def _eviction(name: str, memory: dict[str, Any], holds: str) -> Finding:
    check, policy = f"{name} eviction", str(memory.get("maxmemory_policy", "unknown"))
    most = int(memory.get("maxmemory", 0))
    if policy != "noeviction":
        return wrong(
            check, f"maxmemory-policy is {policy}: it may evict {holds}", "set maxmemory-policy noeviction"
        )
    if not most:
        advice = "set maxmemory: entries end by themselves, but nothing bounds what a busy hour takes"
        return doubtful(check, "noeviction, without a maxmemory", advice)
    return well(check, f"noeviction, {most // 2**20} MiB")
