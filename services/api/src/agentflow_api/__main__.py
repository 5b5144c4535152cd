"""`python -m agentflow_api`: serve until SIGTERM or Ctrl-C."""

import asyncio
import logging
import sys

from agentflow.errors import ConfigurationError, GraphDefinitionError, StorageError
from agentflow.storage.checkpointer import InMemoryCheckpointer, PgCheckpointer
from agentflow.storage.checkpointer.cache import client_from_url
from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_api.serving import serve
from agentflow_api.settings import Settings, SettingsError, read_settings
from agentflow_hosting.agents.registry import AgentRegistry
from agentflow_telemetry import configure_logging
from agentflow_tenancy.restores import UnappliedTombstonesError, check_restored
from agentflow_tenancy.roles import UnsafeRoleError, check_app_role

logger = logging.getLogger("agentflow.api")


def main() -> None:
    """Check the settings and serve."""
    configure_logging()
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(str(error))
    _check(settings)
    asyncio.run(_check_role(settings))
    serve(settings)


def _check(settings: Settings) -> None:
    """What no worker could start with is told once, here; what it imports the workers inherit."""
    try:
        PgCheckpointer(settings.database_url, settings.redis_url)
        if settings.quota_redis_url is not None:
            client_from_url(settings.quota_redis_url, timeout_s=0.5)
        AgentRegistry(settings.agents, InMemoryCheckpointer())
    except ConfigurationError as error:
        sys.exit(str(error))
    except (ImportError, AttributeError, TypeError, GraphDefinitionError) as error:
        sys.exit(f"AGENTFLOW_AGENTS: {error}")


async def _check_role(settings: Settings) -> None:
    """A login that sees too much is told at once; without an answer from Postgres the first request asks."""
    engine = engine_from_url(settings.database_url, pool_size=1, max_overflow=0, timeout_s=5)
    try:
        await check_app_role(engine)
        await check_restored(engine)
    except (UnsafeRoleError, UnappliedTombstonesError) as error:
        sys.exit(str(error))
    except (StorageError, ConfigurationError) as error:
        logger.warning("Postgres does not answer yet: %s", error)
    finally:
        await engine.dispose()


if __name__ == "__main__":
    main()
