"""`agentflow-cloud login`: a login for the services, bound by row level security."""

import asyncio

from agentflow.errors import AgentFlowError
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_cloud.errors import CommandError
from agentflow_tenancy.roles import ensure_login


def login(database_url: str, name: str, password: str) -> None:
    """Make a login of the role agentflow_app, or give an old one this password.

    Raises:
        CommandError: Postgres does not answer, or this role may not make others.
    """
    try:
        asyncio.run(_login(database_url, name, password))
    except AgentFlowError as error:
        raise CommandError(str(error)) from error


async def _login(database_url: str, name: str, password: str) -> None:
    engine = engine_from_url(database_url, pool_size=1, max_overflow=0, timeout_s=30)
    try:
        await ensure_login(engine, name, password)
    finally:
        await engine.dispose()
