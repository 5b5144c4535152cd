"""The HTTP server's processes.

What serves requests is named here and imported by the workers, which start anew: who watches them
needs none of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Final

from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from agentflow_api.settings import Settings
from agentflow_telemetry.processes import FOLDER_VARIABLE

# A node that takes longer is cut off; its thread stays at the step before.
_STOP_WITHIN_S: Final = 30
# A worker that says nothing for so long is ended and replaced.
_SILENT_FOR_S: Final = 30
_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 4096
# A socket whose other end is gone without a word is noticed within two of them.
_SOCKET_PING_S: Final = 60.0


def serve(settings: Settings) -> None:
    """Until SIGTERM or Ctrl-C: worker processes, and this one that watches them and replaces any that dies.

    Exits with 3 when the address is taken or a worker cannot start.
    """
    config = Config(
        "agentflow_api.server:application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="agentflow_api.server:HttpProtocol",
        ws="agentflow_api.server:SocketProtocol",
        ws_ping_interval=_SOCKET_PING_S,
        ws_ping_timeout=_SOCKET_PING_S,
        # One more, so that the route answers what is too long in its own words.
        ws_max_size=settings.max_body_bytes + 1,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        timeout_worker_healthcheck=_SILENT_FOR_S,
    )
    listening = config.bind_socket()
    try:
        with _meeting_place(settings.workers):
            Multiprocess(config, [listening]).run()
    finally:
        listening.close()


@contextmanager
def _meeting_place(workers: int) -> Iterator[None]:
    """A folder of this user alone, in which workers tell their metrics to each other; one needs none."""
    if workers == 1:
        yield
        return
    with TemporaryDirectory(prefix="agentflow-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER_VARIABLE] = folder
        yield
