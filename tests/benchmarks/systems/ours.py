"""AgentFlow's checkpointer on the workload: a session a thread, an append a step."""

import functools
import uuid
from typing import Any, Self

import asyncpg

from agentflow.storage.checkpointer import CheckpointWrite, PgCheckpointer, Scope, Snapshot
from agentflow.storage.checkpointer.base import ThreadSession
from tests.benchmarks.systems.changes import Change, checkpoint, next_change
from tests.benchmarks.systems.system import System, Writer
from tests.benchmarks.workload import Chat

SCOPE = Scope()


@functools.cache
def changes(chat: Chat) -> list[Change]:
    """The steps of a chat, computed once."""
    result: list[Change] = []
    for step in chat.steps:
        result.append(next_change(result[-1] if result else None, step.node, step.message, step.extra))
    return result


class SessionWriter(Writer):
    """A thread held by one session, as a run holds it."""

    def __init__(self, session: ThreadSession, chat: Chat) -> None:
        """Use `Ours.writer`."""
        super().__init__(chat)
        self._session = session
        self._changes = changes(chat)
        self._run_id = str(uuid.uuid4())
        self._thread_no: int | None = None

    def prepare(self, step: int) -> CheckpointWrite:
        """See `Writer`."""
        return checkpoint(self._changes[step], self._thread_no, self._run_id)

    async def write(self, item: CheckpointWrite) -> None:
        """See `Writer`."""
        self._thread_no = (await self._session.append(item)).thread_no

    async def close(self) -> None:
        """Let the thread's lock go, and publish its state where there is a Redis."""
        await self._session.__aexit__(None, None, None)


class Ours(System):
    """`PgCheckpointer` on Postgres, and on Redis when there is a URL."""

    def __init__(self, database_url: str, redis_url: str | None = None, **options: Any) -> None:
        """Nothing is opened yet; `options` go to the checkpointer."""
        self._dsn = database_url.replace("+asyncpg", "")
        options = {"pool_size": 16, "max_overflow": 0, **options}
        self.checkpointer = PgCheckpointer(database_url, redis_url=redis_url, **options)

    async def __aenter__(self) -> Self:
        """See `System`."""
        await self.checkpointer.asetup()
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `System`."""
        await self.checkpointer.aclose()

    async def reset(self) -> None:
        """See `System`. Thread ids are never used twice, so what caches hold does no harm."""
        connection = await asyncpg.connect(self._dsn)
        try:
            await connection.execute("TRUNCATE agentflow_threads")  # a trigger empties its children
        finally:
            await connection.close()

    async def writer(self, thread_id: str, chat: Chat) -> SessionWriter:
        """See `System`."""
        session = self.checkpointer.session(SCOPE, thread_id)
        await session.__aenter__()
        return SessionWriter(session, chat)

    async def read(self, thread_id: str) -> Snapshot:
        """See `System`."""
        snapshot = await self.checkpointer.load(SCOPE, thread_id)
        assert snapshot is not None
        return snapshot

    async def read_last(self, thread_id: str, messages: int) -> Snapshot:
        """The thread with its newest messages only."""
        snapshot = await self.checkpointer.load(SCOPE, thread_id, last_messages=messages)
        assert snapshot is not None
        return snapshot
