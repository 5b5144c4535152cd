"""Scopes: what is outside does not exist, whatever the call."""
# ruff: noqa: S101

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace

from agentflow.errors import StaleCheckpointError, ThreadNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.testing.case import (
    Cases,
    Thread,
    contents,
    message,
    new_scope,
    raised,
    write_after,
)
from agentflow.storage.checkpointer.types import NewThread, Scope

CASES = Cases()


@CASES.add
async def other_tenants_see_nothing(checkpointer: BaseCheckpointer) -> None:
    """A tenant's thread does not exist for another tenant, nor in another placement."""
    thread = Thread(checkpointer)
    await thread.write({"secret": 1}, added=[message(0, "secret")])
    outside = [replace(thread.scope, tenant_id=uuid.uuid4()), replace(thread.scope, placement=1)]
    for scope in outside:
        await _sees_nothing(checkpointer, scope, thread.id)
    assert contents(await thread.load()) == ["secret"]


@CASES.add
async def tenants_share_ids_but_no_threads(checkpointer: BaseCheckpointer) -> None:
    """The same id in two tenants is two threads; deleting one leaves the other."""
    threads = [Thread(checkpointer, new_scope(), "shared") for _ in range(2)]
    for i, thread in enumerate(threads):
        await thread.write({"tenant": i}, added=[message(0, f"of {i}")])
    for i, thread in enumerate(threads):
        snapshot = await thread.load()
        assert (snapshot.head, snapshot.fields, contents(snapshot)) == (1, {"tenant": i}, [f"of {i}"])
        async with checkpointer.session(thread.scope, "shared") as session:
            assert session.snapshot == snapshot
    await checkpointer.delete_thread(threads[0].scope, "shared")
    assert contents(await threads[1].load()) == ["of 1"]


@CASES.add
async def other_principals_see_nothing(checkpointer: BaseCheckpointer) -> None:
    """With a principal only that user's threads exist; without one all of the tenant's do."""
    scope = new_scope()
    alice, bob = replace(scope, principal="alice"), replace(scope, principal="bob")
    async with checkpointer.session(alice, "t", new_thread=NewThread(name="hers")) as session:
        await session.append(write_after(None, {"secret": 1}, added=[message(0, "secret")]))
    await Thread(checkpointer, scope, "nobody's").write({"a": 1})
    info = await checkpointer.get_thread(scope, "t")
    assert info is not None
    assert info.user_id == "alice"
    for thread_id in ("t", "nobody's"):
        await _sees_nothing(checkpointer, bob, thread_id)
    assert [found.thread_id for found in await checkpointer.list_threads(alice)] == ["t"]
    assert len(await checkpointer.list_threads(scope)) == 2
    assert (await Thread(checkpointer, alice, "t").write({"secret": 2})).head == 2


@CASES.add
async def other_principals_write_nothing(checkpointer: BaseCheckpointer) -> None:
    """Neither making the thread nor going on with it succeeds, and the refusal tells no version."""
    scope = new_scope()
    alice, bob = replace(scope, principal="alice"), replace(scope, principal="bob")
    await Thread(checkpointer, alice, "t").write({"secret": 1})
    snapshot = await Thread(checkpointer, alice, "t").load()
    hers = Thread(checkpointer, bob, "t")
    await raised(ThreadNotFoundError, hers.put(write_after(None, {"mine": 1})))
    await raised(ThreadNotFoundError, hers.put(write_after(snapshot, {"mine": 1})))
    assert await Thread(checkpointer, alice, "t").load() == snapshot


@CASES.add
async def epoch_changes_nothing_that_is_stored(checkpointer: BaseCheckpointer) -> None:
    """A tenant's new epoch voids caches only: its threads go on, and an old cached state cannot come back."""
    thread = Thread(checkpointer)
    await thread.write({"i": 1})
    later = Thread(checkpointer, replace(thread.scope, epoch=1), thread.id)
    await later.write({"i": 2})
    async with checkpointer.session(thread.scope, thread.id) as session:
        if session.snapshot is None or session.snapshot.head != 2:
            assert session.from_cache
            await raised(StaleCheckpointError, session.append(write_after(session.snapshot, {"i": 9})))
        assert (await session.reload()) == await later.load()


async def _sees_nothing(checkpointer: BaseCheckpointer, scope: Scope, thread_id: str) -> None:
    assert await checkpointer.load(scope, thread_id) is None
    assert await checkpointer.get_thread(scope, thread_id) is None
    assert _empty(await checkpointer.history(scope, thread_id))
    assert _empty(await checkpointer.list_threads(scope))
    assert _empty(await checkpointer.list_threads(scope, search=thread_id))
    await raised(ThreadNotFoundError, checkpointer.load_at(scope, thread_id, 1))
    await raised(ThreadNotFoundError, checkpointer.list_messages(scope, thread_id))
    assert await checkpointer.request_stop(scope, thread_id) is False
    assert await checkpointer.delete_thread(scope, thread_id) is False
    async with checkpointer.session(scope, thread_id) as session:
        assert session.snapshot is None


def _empty(found: Sequence[object]) -> bool:
    return len(found) == 0
