"""Forks: an older state as the latest of its thread, or as the first of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.busy import Hold
from agentflow.core.graph.config import RunConfig, run_config
from agentflow.core.graph.thread import LiveThread
from agentflow.core.graph.updates import BadUpdateError, Update, checked_fields, merge
from agentflow.core.state.agent_state import AgentState
from agentflow.errors import ConflictError, InvalidInputError, StaleCheckpointError, ThreadNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer
from agentflow.storage.checkpointer.types import Snapshot


@dataclass(frozen=True, slots=True)
class Fork:
    """What is wanted; see `CompiledGraph.afork`."""

    checkpoint: int
    to_thread: str | None
    values: Mapping[str, Any] | None


async def fork[S: AgentState](
    blueprint: Blueprint[S], checkpointer: BaseCheckpointer, config: RunConfig, wanted: Fork
) -> dict[str, Any]:
    """See `CompiledGraph.afork`."""
    snapshot = await checkpointer.load_at(config.scope, config.thread_id, wanted.checkpoint)
    if wanted.to_thread is None:
        return await _write(blueprint, checkpointer, config, snapshot, wanted)
    target = await _target(checkpointer, config, wanted.to_thread)
    return await _write(blueprint, checkpointer, target, snapshot, wanted)


async def _target(checkpointer: BaseCheckpointer, config: RunConfig, thread_id: str) -> RunConfig:
    """The config of the new thread, with what the old one is known by."""
    checked = run_config({"thread_id": thread_id})
    info = await checkpointer.get_thread(config.scope, config.thread_id)
    if info is None:  # deleted a moment ago: the state was read before
        return replace(config, thread_id=checked.thread_id)
    return replace(
        config,
        thread_id=checked.thread_id,
        user_id=config.user_id or info.user_id,
        thread_name=config.thread_name or info.name,
        metadata=config.metadata or info.metadata,
    )


async def _write[S: AgentState](
    blueprint: Blueprint[S],
    checkpointer: BaseCheckpointer,
    config: RunConfig,
    snapshot: Snapshot,
    wanted: Fork,
) -> dict[str, Any]:
    async with Hold(checkpointer, config) as held:
        thread = LiveThread(blueprint, held.session, config.run_id, budget=config.budget)
        if held.session.from_cache:
            await thread.reload()
        else:
            thread.open()
        if wanted.to_thread is not None and not thread.is_new:
            raise _is_there(config.thread_id)
        await _put(blueprint, thread, config, snapshot, wanted)
    return {"thread_id": config.thread_id, "checkpoint": thread.head}


async def _put[S: AgentState](
    blueprint: Blueprint[S], thread: LiveThread[S], config: RunConfig, snapshot: Snapshot, wanted: Fork
) -> None:
    thread.rewind(snapshot)
    in_place = wanted.to_thread is None
    try:
        update = Update(reduce=checked_fields(dict(wanted.values or {}), blueprint.state_type))
        state = merge(thread.state, [update], blueprint.reducers)
    except BadUpdateError as error:
        raise InvalidInputError(f"The values hold {error}") from error
    meta = thread.state.execution_meta
    if not in_place:
        meta = meta.model_copy(update={"thread_id": config.thread_id})
    state.execution_meta = meta
    progress = replace(thread.progress, turn=thread.head + 1)
    parent = wanted.checkpoint if in_place else 0
    try:
        await thread.commit(state, progress, source="fork", node="", parent=parent)
    except ThreadNotFoundError as error:
        if in_place:
            raise
        raise _is_there(config.thread_id) from error  # another user's, whom this one does not see
    except StaleCheckpointError as error:
        raise ConflictError(
            f"Somebody wrote to thread {config.thread_id!r} at the same time; fork again."
        ) from error


def _is_there(thread_id: str) -> ConflictError:
    return ConflictError(f"Thread {thread_id!r} exists already: delete it first, or fork to another id.")
