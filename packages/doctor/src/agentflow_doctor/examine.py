"""Every check, one after the other; one that cannot be made is a finding of its own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.errors import AgentFlowError, StorageError, StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_doctor import catalogue, limits
from agentflow_doctor.deployment import Deployment
from agentflow_doctor.findings import Finding, doubtful, well, wrong
from agentflow_doctor.kept_tombstones import check_tombstones
from agentflow_doctor.orphans import check_orphans
from agentflow_doctor.redis_servers import check_redis
from agentflow_tenancy.roles import UnsafeRoleError, check_app_role

_TIMEOUT_S = 30.0

type _Check = Callable[[AsyncConnection], Awaitable[Finding]]


async def examine(
    deployment: Deployment, configuration: Path, *, orphans_within_s: float
) -> Sequence[Finding]:
    """Look at everything there is.

    Args:
        deployment: Where to look.
        configuration: Of the migrations of the code that runs.
        orphans_within_s: Seconds that a partition's look for orphans may take.
    """
    return [
        *await _database(deployment, configuration, orphans_within_s),
        *await _app_login(deployment),
        *await _redis(deployment),
    ]


async def examine_within(
    engine: AsyncEngine, configuration: Path | None, *, connections: int, redis: Mapping[str, str]
) -> list[Finding]:
    """Look at what a service can see by its own login: all but rows, which row security hides from it.

    Args:
        engine: The service's own.
        configuration: Of the migrations of the code that runs; None where they are not installed.
        connections: Most that the services open.
        redis: URLs by the names of their checks.
    """
    found: list[Finding] = []
    checks = _checks(connections)
    if configuration is not None:
        checks = {"migrations": lambda one: catalogue.check_versions(one, configuration), **checks}
    found += [await _made(engine, name, check) for name, check in checks.items()]
    found += [await _role(engine), await _made(engine, "plan_cache_mode", limits.check_plans)]
    for name, url in redis.items():
        found += await check_redis(name, url, "locks of threads that are run, or what tenants have spent")
    advice = "run `agentflow-cloud doctor` by the login that migrates"
    return [*found, doubtful("orphan rows", "row security hides rows from this login", advice)]


async def _database(deployment: Deployment, configuration: Path, orphans_within_s: float) -> list[Finding]:
    timeout_s = max(_TIMEOUT_S, 2 * orphans_within_s)
    engine = engine_from_url(deployment.operations_url, pool_size=1, max_overflow=0, timeout_s=timeout_s)
    try:
        first = await _made(
            engine, "migrations", lambda connection: catalogue.check_versions(connection, configuration)
        )
        if first.level == "error":
            return [first]
        checks = _checks(deployment.connections)
        found = [first, *[await _made(engine, name, check) for name, check in checks.items()]]
        found.append(await check_tombstones(engine, deployment.tombstones))
        found.append(await check_orphans(engine, most_s=orphans_within_s))
        return found
    finally:
        await engine.dispose()


def _checks(connections: int) -> dict[str, _Check]:
    """What is asked of the database's catalogue, by whatever login."""
    return {
        "restore": catalogue.check_restore,
        "row security": catalogue.check_row_security,
        "leaf rights": catalogue.check_leaf_rights,
        "partitions": catalogue.check_partitions,
        "triggers": catalogue.check_triggers,
        "trigger plans": catalogue.check_functions,
        "indexes": catalogue.check_indexes,
        "connections": lambda connection: limits.check_connections(connection, connections),
        "clock": limits.check_clock,
        "backup": catalogue.check_archiving,
    }


async def _app_login(deployment: Deployment) -> list[Finding]:
    if deployment.app_url is None:
        advice = "set AGENTFLOW_DATABASE_URL as the API has it"
        return [doubtful("role", "the API's login is not known", advice)]
    engine = engine_from_url(deployment.app_url, pool_size=1, max_overflow=0, timeout_s=_TIMEOUT_S)
    try:
        return [await _role(engine), await _made(engine, "plan_cache_mode", limits.check_plans)]
    finally:
        await engine.dispose()


async def _role(engine: AsyncEngine) -> Finding:
    try:
        await check_app_role(engine)
    except UnsafeRoleError as error:
        return wrong(
            "role", str(error), "make a login with `agentflow-cloud login`, and give the API that one"
        )
    except AgentFlowError as error:
        return _unanswered("role", error)
    return well("role", "row level security binds the API's login")


async def _made(engine: AsyncEngine, name: str, check: _Check) -> Finding:
    try:
        with translated():
            async with engine.begin() as connection:
                return await check(connection)
    except AgentFlowError as error:
        return _unanswered(name, error)


def _unanswered(name: str, error: AgentFlowError) -> Finding:
    advice = "put the address, the login or the server right"
    if isinstance(error, StorageError) and not isinstance(error, StoreUnavailableError):
        advice = "look with the login that migrates: AGENTFLOW_OPERATIONS_DATABASE_URL"
    return wrong(name, f"could not be looked at: {error}", advice)


async def _redis(deployment: Deployment) -> list[Finding]:
    if deployment.redis_url is None:
        advice = "set AGENTFLOW_REDIS_URL"
        return [doubtful("redis", "none: states are read from Postgres, limits are kept per process", advice)]
    found = await check_redis("redis", deployment.redis_url, "the lock of a thread that is being run")
    if deployment.quota_redis_url not in (None, deployment.redis_url):
        found += await check_redis("quota redis", str(deployment.quota_redis_url), "what tenants have spent")
    return found
