"""A program that races another for threads: `python -m tests.support.racing_program DB TENANT NAME THREADS`.

For each line on stdin, a version, it appends to every thread at once from that version, and answers with one
line of JSON: for each thread the version it wrote, or null where the other was first.
"""

import asyncio
import json
import sys
import uuid
from dataclasses import replace

from agentflow.errors import StaleCheckpointError
from agentflow.storage.checkpointer import PgCheckpointer, Scope, Snapshot
from agentflow.storage.checkpointer.testing.case import Thread, message, write_after


async def attempt(thread: Thread, name: str, began: Snapshot, head: int) -> int | None:
    """The version written, if the thread is still at `head`: with one message for each version."""
    before = replace(began, head=head, fields={})
    write = write_after(before, {"by": name}, added=[message(head - 1, name)], run_id=name)
    assert isinstance(thread.checkpointer, PgCheckpointer)
    try:
        return (await thread.checkpointer.append(thread.scope, thread.id, write)).head
    except StaleCheckpointError as error:
        if error.found != head + 1:
            raise
        return None


async def main() -> None:
    """Race until stdin ends."""
    db_url, tenant, name, threads = sys.argv[1:]
    checkpointer = PgCheckpointer(db_url, redis_url=None)
    await checkpointer.asetup()
    scope = Scope(uuid.UUID(tenant))
    racing = [Thread(checkpointer, scope, f"t{i}") for i in range(int(threads))]
    began = [(thread, await thread.load()) for thread in racing]
    while line := await asyncio.to_thread(sys.stdin.readline):
        attempts = (attempt(thread, name, before, int(line)) for thread, before in began)
        written = await asyncio.gather(*attempts)
        sys.stdout.write(json.dumps(written) + "\n")
        sys.stdout.flush()
    await checkpointer.aclose()


if __name__ == "__main__":
    asyncio.run(main())
