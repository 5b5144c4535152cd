"""What a server gives: connections, plans, and its clock."""

import time

from sqlalchemy.ext.asyncio import AsyncConnection

from agentflow_doctor.catalogue import rows
from agentflow_doctor.findings import Finding, doubtful, well, wrong

_PLANS = "force_generic_plan"
# Tokens are taken with so much skew; from there on they are refused.
_SKEW_REFUSED_S = 30.0
_SKEW_SEEN_S = 1.0
_NEARLY_ALL = 0.9


async def check_connections(connection: AsyncConnection, needed: int) -> Finding:
    """Whether the server has as many connections as the services' pools together.

    Args:
        connection: Any.
        needed: Most that the services open.
    """
    check, found = "connections", (await rows(connection, "connections"))[0]
    there = found["most"] - found["reserved"]
    said = f"the services open up to {needed} of {there} connections; {found['open']} are open now"
    advice = (
        "raise max_connections, or lower AGENTFLOW_POOL_SIZE, AGENTFLOW_API_WORKERS or AGENTFLOW_REPLICAS"
    )
    if needed > there:
        return wrong(check, said, advice)
    if needed > there * _NEARLY_ALL or found["open"] > there * _NEARLY_ALL:
        return doubtful(check, said, advice)
    return well(check, said)


async def check_plans(connection: AsyncConnection) -> Finding:
    """Whether a service's connection has the plan mode that it asks for.

    Args:
        connection: Opened as the services open theirs.
    """
    mode = (await rows(connection, "plan_cache_mode"))[0]["mode"]
    if mode == _PLANS:
        return well("plan_cache_mode", f"{mode}, as the services ask for")
    return wrong(
        "plan_cache_mode",
        f"{mode}, though the services ask for {_PLANS}: with many partitions statements get slow",
        "let the pooler in between pass it on (pgbouncer: track_extra_parameters)",
    )


async def check_clock(connection: AsyncConnection) -> Finding:
    """Whether the database and this machine agree on the time."""
    before = time.time()
    there = float((await rows(connection, "clock"))[0]["now"])
    return clock_finding("clock", "Postgres", there, before, time.time())


def clock_finding(check: str, server: str, there: float, before: float, after: float) -> Finding:
    """What a server's clock says, read between two looks at our own.

    Args:
        check: Its name.
        server: Whose clock it is.
        there, before, after: Seconds since 1970; the true difference is outside of the two at least so much.
    """
    skew_s = max(before - there, there - after, 0.0)
    said = f"{server} and this machine differ by {skew_s:.1f} s"
    advice = "have chrony or another time service keep both clocks"
    if skew_s > _SKEW_REFUSED_S:
        return wrong(check, f"{said}: tokens are refused", advice)
    return doubtful(check, said, advice) if skew_s > _SKEW_SEEN_S else well(check, said)
