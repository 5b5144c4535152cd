"""Housekeeping below a thread: packing what is idle, pruning what nobody will ask for. Never on the hot path.

Each thread is a transaction of its own that holds the thread's row, so a writer comes before or after, and
a crash leaves the thread as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from agentflow.errors import CorruptStateError, InvalidInputError
from agentflow.storage.checkpointer.archive import (
    PackedCheckpoint,
    deltas_until,
    hole_at,
    pack,
    parts_of,
    unpack,
)
from agentflow.storage.checkpointer.driver_statements import Statements
from agentflow.storage.checkpointer.driver_tenants import TenantStatements
from agentflow.storage.checkpointer.postgres_rows import folded, is_langgraphs
from agentflow.storage.checkpointer.queries import located
from agentflow.storage.checkpointer.types import Scope, oldest_needed_tool
from agentflow.utils.jsontext import json_text

logger = logging.getLogger("agentflow.upkeep")

# Fewer are not worth a row of their own.
_FEWEST: Final = 4

type _Driver = asyncpg.Connection[Any]


class Upkeep:
    """Packing and pruning, of one event loop."""

    def __init__(self, statements: Statements, of_tenants: TenantStatements) -> None:
        """Nothing is sent yet."""
        self._statements = statements
        self._of_tenants = of_tenants

    async def delete_expired(self, batch_size: int, older_than: timedelta | None) -> int:
        """Delete one batch of threads whose time is over; how many."""
        return len(await self._statements.fetch("delete_expired", batch_size, older_than))

    async def pack_idle(self, batch_size: int, idle_for: timedelta) -> int:
        """Pack idle threads; how many were."""
        return await self._each(self._pack, "idle_threads", batch_size, idle_for, _FEWEST)

    async def prune_long(self, batch_size: int, idle_for: timedelta, keep_last: int) -> int:
        """Prune threads; how many had something to forget."""

        async def prune(scope: Scope, thread_id: str) -> bool:
            return bool(await self.prune(scope, thread_id, keep_last))

        return await self._each(prune, "long_threads", batch_size, idle_for, keep_last)

    async def _each(
        self, work: Callable[[Scope, str], Awaitable[bool]], name: str, batch_size: int, *arguments: Any
    ) -> int:
        """Do the work on each thread that a statement finds, once; on how many it was done.

        One that cannot be read is left for somebody to look at: it holds up no other.
        """
        done, behind = 0, (UUID(int=0), "", -1)
        while rows := await self._statements.fetch(name, batch_size, *arguments, *behind):
            for row in rows:
                behind = (UUID(bytes=row["tenant_id"].bytes), row["thread_id"], row["placement"])
                try:
                    done += await work(Scope(behind[0], behind[2]), behind[1])
                except CorruptStateError as error:
                    logger.warning("A thread of tenant %s is left as it is: %s", behind[0], error)
        return done

    async def prune(self, scope: Scope, thread_id: str, keep_last: int) -> int | None:
        """Delete all but a thread's last checkpoints; how many went, None if there is no such thread."""
        before = self._of_tenants.placements.view(scope)
        pruned = await self._prune_there(scope, thread_id, keep_last)
        if pruned is None and await self._of_tenants.has_moved(scope, before, waits=True):
            return await self._prune_there(scope, thread_id, keep_last)
        return pruned

    async def _prune_there(self, scope: Scope, thread_id: str, keep_last: int) -> int | None:
        async with self._of_tenants.transaction(scope) as driver:
            at = self._of_tenants.placements.look(scope)
            held = await _row(driver, "wait_for_thread", scope, at, thread_id, scope.principal)
            if held is None:
                return None
            scope = replace(scope, placement=held["placement"])
            first = held["head"] - keep_last + 1
            stored = await _stored(driver, scope, held["thread_no"])
            gone = [checkpoint for checkpoint in stored if checkpoint.seq < first]
            if not gone:
                return 0
            if is_langgraphs(stored[0].delta):
                raise InvalidInputError("The thread is a LangGraph graph's: prune it through its saver.")
            fields = json_text(folded(deltas_until(stored, first), thread_id), field="state")
            kept = [checkpoint for checkpoint in stored if checkpoint.seq >= first]
            if not kept or kept[0].seq != first:
                raise hole_at(first)
            kept[0] = replace(kept[0], is_full=True, delta=fields)
            await _execute(driver, "delete_removed_messages", scope, held["thread_no"], first)
            now = folded(deltas_until(stored, held["head"]), thread_id)
            oldest = oldest_needed_tool(now, first)
            await _execute(driver, "delete_finished_tools", scope, held["thread_no"], oldest)
            await _replace(driver, scope, held["thread_no"], kept)
            return len(gone)

    async def _pack(self, scope: Scope, thread_id: str) -> bool:
        async with self._of_tenants.transaction(scope) as driver:
            at = (scope.placement,)
            held = await _row(driver, "hold_thread", scope, at, thread_id, scope.principal)
            if held is None:
                return False
            stored = await _stored(driver, scope, held["thread_no"])
            if stored:
                deltas_until(stored, stored[-1].seq)  # a history with a hole stays as it is
                await _replace(driver, scope, held["thread_no"], stored)
            return bool(stored)


async def _stored(driver: _Driver, scope: Scope, thread_no: int) -> list[PackedCheckpoint]:
    """Every checkpoint of a thread, oldest first, packed ones too."""
    checkpoints: list[PackedCheckpoint] = []
    for row in await driver.fetch(
        located("checkpoints_of", (scope.placement,)), scope.placement, scope.tenant_id, thread_no
    ):
        *columns, archive = row
        checkpoints += [PackedCheckpoint(*columns)] if archive is None else unpack(archive)
    return checkpoints


async def _replace(driver: _Driver, scope: Scope, thread_no: int, kept: Sequence[PackedCheckpoint]) -> None:
    """Put archives in the place of all rows: one, or several of a long history."""
    await _execute(driver, "delete_checkpoints", scope, thread_no)
    for part in parts_of(kept):
        last = part[-1]
        arguments = (thread_no, last.seq, part[0].seq, pack(part), last.checkpoint_id)
        await _execute(driver, "insert_archive", scope, *arguments)


async def _row(
    driver: _Driver, name: str, scope: Scope, at: tuple[int, ...], *arguments: Any
) -> asyncpg.Record | None:
    return await driver.fetchrow(located(name, at), scope.placement, scope.tenant_id, *arguments)


async def _execute(driver: _Driver, name: str, scope: Scope, *arguments: Any) -> None:
    await driver.execute(located(name, (scope.placement,)), scope.placement, scope.tenant_id, *arguments)
