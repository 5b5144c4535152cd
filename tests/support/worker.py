"""A really running worker process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def running_worker(
    database_url: str, redis_url: str, log: IO[bytes] | None = None, /, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker for the length of a block, which says what it does to `log`; it must end when asked to."""
    given = {"AGENTFLOW_OPERATIONS_DATABASE_URL": database_url, "AGENTFLOW_REDIS_URL": redis_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "agentflow_worker"],
        env={**os.environ, **given, **environment},
        stderr=log,
    )
    try:
        yield process
    finally:
        process.terminate()
        code = process.wait(60)
    # Told before it listened, it ends as any process does.
    assert code in {0, -signal.SIGTERM}
