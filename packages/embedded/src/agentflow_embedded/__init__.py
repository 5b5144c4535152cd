"""A real PostgreSQL and a real Valkey out of wheels, for `make run` and the test suite.

    with Stack(".agentflow") as stack:
        print(stack.postgres.url, stack.valkey.url)

Servers listen on 127.0.0.1 and on unix sockets, ask for a generated password, keep their files in a state
folder, and stop when the process that started them ends in any way. Nothing here is asynchronous.
"""

from agentflow_embedded.errors import (
    AlreadyRunningError,
    BinariesMissingError,
    DiskFullError,
    EmbeddedError,
    PortTakenError,
    ServerFailedError,
    StateFolderError,
)
from agentflow_embedded.home import remove_state
from agentflow_embedded.postgres import EmbeddedPostgres
from agentflow_embedded.server import EmbeddedServer
from agentflow_embedded.stack import Stack
from agentflow_embedded.valkey import EmbeddedValkey

__all__ = [
    "AlreadyRunningError",
    "BinariesMissingError",
    "DiskFullError",
    "EmbeddedError",
    "EmbeddedPostgres",
    "EmbeddedServer",
    "EmbeddedValkey",
    "PortTakenError",
    "ServerFailedError",
    "Stack",
    "StateFolderError",
    "remove_state",
]
