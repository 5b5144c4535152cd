"""Reading a thread's latest version: from memory when Postgres says that it is still the latest.

The question costs one row of one index, and those that wait at the same moment share a statement, so a warm
read is exact and cheap at once. Reads of a thread that is not in memory share an answer too, but only one
that was asked for after they came: what was committed before a read began is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.postgres_reader import Loaded, PostgresReader
from agentflow.storage.checkpointer.thread_memory import ThreadKey, ThreadMemory, key_of
from agentflow.storage.checkpointer.types import Scope, Snapshot

_LANES: Final = 2
_MOST_IN_A_STATEMENT: Final = 500

Version = tuple[int, int]
_Question = tuple[Scope, str]


class ThreadReader:
    """Reads of one event loop."""

    def __init__(self, statements: Statements, reader: PostgresReader, memory: ThreadMemory) -> None:
        """Nothing is read yet."""
        self._reader = reader
        self._memory = memory
        self._versions = Versions(statements)
        self._loading: dict[tuple[ThreadKey, str | None], _Flight] = {}

    async def load(self, scope: Scope, thread_id: str) -> Snapshot | None:
        """The latest version. One round trip, shared; two when the version in memory is not the latest."""
        key = key_of(scope, thread_id)
        remembered = self._memory.get(key)
        if remembered is not None:
            version = await self._versions.ask(scope, thread_id)
            if version == remembered.version:
                return remembered.snapshot()
            if version is None:
                return None
        loaded = await self._shared_load(key, scope, thread_id)
        if loaded is None:
            return None
        self._memory.put(key, loaded.snapshot, loaded.fields)
        return loaded.own_snapshot()

    async def _shared_load(self, key: ThreadKey, scope: Scope, thread_id: str) -> Loaded | None:
        flight = self._loading.get((key, scope.principal))
        if flight is not None:
            waiter: asyncio.Future[Loaded | None] = asyncio.get_running_loop().create_future()
            flight.waiters.append(waiter)
            return await waiter
        flight = self._loading[key, scope.principal] = _Flight()
        try:
            return await self._reader.load(scope, thread_id)
        finally:
            await self._next_flight(key, scope, thread_id, flight)

    async def _next_flight(self, key: ThreadKey, scope: Scope, thread_id: str, flight: _Flight) -> None:
        """Those who came while a read was under way get one of their own, together."""
        del self._loading[key, scope.principal]
        waiters = [waiter for waiter in flight.waiters if not waiter.done()]
        if not waiters:
            return
        task = asyncio.get_running_loop().create_task(self._shared_load(key, scope, thread_id))
        task.add_done_callback(lambda done: _tell(waiters, done))


@dataclass(slots=True)
class _Flight:
    waiters: list[asyncio.Future[Loaded | None]] = field(default_factory=list)


class Versions:
    """Asks Postgres for lives and heads, many threads in one statement."""

    def __init__(self, statements: Statements) -> None:
        """Nothing is asked yet."""
        self._statements = statements
        self._free_lanes = _LANES
        self._waiting: dict[_Question, list[asyncio.Future[Version | None]]] = {}
        self._lanes: set[asyncio.Task[None]] = set()

    async def ask(self, scope: Scope, thread_id: str) -> Version | None:
        """thread_no and head, as they were at some time after this was called; None for no such thread."""
        answer: asyncio.Future[Version | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault((scope, thread_id), []).append(answer)
        if self._free_lanes:
            self._free_lanes -= 1
            task = asyncio.get_running_loop().create_task(self._drain())
            self._lanes.add(task)
            task.add_done_callback(self._lanes.discard)
        return await answer

    async def _drain(self) -> None:
        try:
            while self._waiting:
                await self._ask(self._next_group())
        finally:
            self._free_lanes += 1

    def _next_group(self) -> dict[_Question, list[asyncio.Future[Version | None]]]:
        """Questions about one placement: it is bound once, so that one leaf is visited."""
        placement = next(iter(self._waiting))[0].placement
        same = [question for question in self._waiting if question[0].placement == placement]
        return {question: self._waiting.pop(question) for question in same[:_MOST_IN_A_STATEMENT]}

    async def _ask(self, group: dict[_Question, list[asyncio.Future[Version | None]]]) -> None:
        scopes = [scope for scope, _ in group]
        try:
            rows = await self._statements.fetch(
                "versions",
                scopes[0].placement,
                [scope.tenant_id for scope in scopes],
                [thread_id for _, thread_id in group],
                [scope.principal for scope in scopes],
            )
        except BaseException as error:
            for waiters in group.values():
                _fail(waiters, error)
            if isinstance(error, Exception):
                return
            raise
        found: dict[int, Version] = {row["i"]: (row["thread_no"], row["head"]) for row in rows}
        for i, waiters in enumerate(group.values(), 1):
            version = found.get(i)
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(version)


def _tell(waiters: Sequence[asyncio.Future[Loaded | None]], done: asyncio.Task[Loaded | None]) -> None:
    error = asyncio.CancelledError() if done.cancelled() else done.exception()
    if error is not None:
        _fail(waiters, error)
        return
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(done.result())


def _fail[T](waiters: Sequence[asyncio.Future[T]], error: BaseException) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            waiter.cancel()
        else:
            waiter.set_exception(error)
