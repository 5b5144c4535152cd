"""`python -m agentflow_api`: serve until SIGTERM or Ctrl-C."""

import sys

from granian import Granian
from granian.constants import Interfaces, Loops

from agentflow.errors import ConfigurationError, GraphDefinitionError
from agentflow.storage.checkpointer import InMemoryCheckpointer, PgCheckpointer
from agentflow_api.agents.registry import AgentRegistry
from agentflow_api.lifetime import tell_workers_first
from agentflow_api.settings import Settings, SettingsError, read_settings
from agentflow_telemetry import configure_logging

# A node that takes longer is cut off; its thread stays at the step before.
_STOP_WITHIN_S = 30


def main() -> None:
    """Check the settings and serve."""
    configure_logging()
    try:
        settings = read_settings()
    except SettingsError as error:
        sys.exit(str(error))
    _check(settings)
    server = Granian(
        "agentflow_api.app:create_app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        workers=settings.workers,
        factory=True,
        log_access=False,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=_STOP_WITHIN_S,
    )
    server.on_startup(tell_workers_first)
    server.serve()


def _check(settings: Settings) -> None:
    """What no worker could start with is told once, here; what it imports the workers inherit."""
    try:
        PgCheckpointer(settings.database_url, settings.redis_url)
        AgentRegistry(settings.agents, InMemoryCheckpointer())
    except ConfigurationError as error:
        sys.exit(str(error))
    except (ImportError, AttributeError, TypeError, GraphDefinitionError) as error:
        sys.exit(f"AGENTFLOW_AGENTS: {error}")


if __name__ == "__main__":
    main()
