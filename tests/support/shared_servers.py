"""The process that holds the shared servers of a test run: `python -m tests.support.shared_servers FOLDER`.

Prints their addresses as one line of JSON, then waits until the run's first process is gone and stops them.
"""

import fcntl
import json
import os
import sys
from pathlib import Path

from agentflow_embedded import Stack, remove_state

# A test's database is thrown away, so nothing of it has to survive a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400"}


def main() -> None:
    folder = Path(sys.argv[1])
    with (folder / "servers-alive").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with Stack(folder, postgres_settings=FAST) as stack:
            urls = {"database_url": stack.postgres.url, "redis_url": stack.valkey.url}
            sys.stdout.write(json.dumps(urls) + "\n")
            sys.stdout.flush()
            _wait_until_gone(folder / "alive")
        # If the run's first process was killed, nobody else tidies up.
        remove_state(folder)


def _wait_until_gone(alive: Path) -> None:
    fd = os.open(alive, os.O_RDONLY)
    while os.read(fd, 100):
        pass


if __name__ == "__main__":
    main()
