"""Undoing a run: its thread goes back to where the run found it."""

from __future__ import annotations

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.busy import Hold
from agentflow.core.graph.config import RunConfig
from agentflow.core.graph.rejoin import EVER, earlier_attempt
from agentflow.core.graph.thread import LiveThread
from agentflow.core.state.agent_state import AgentState
from agentflow.errors import ConflictError
from agentflow.storage.checkpointer.base import BaseCheckpointer


async def undo[S: AgentState](
    blueprint: Blueprint[S], checkpointer: BaseCheckpointer, config: RunConfig
) -> bool:
    """See `CompiledGraph.aundo`."""
    async with Hold(checkpointer, config) as held:
        thread = LiveThread(blueprint, held.session, config.run_id, budget=config.budget)
        await thread.reload()
        since = config.rejoin_since or EVER
        done = await earlier_attempt(checkpointer, config.scope, config.thread_id, config.run_id, since)
        if done is None:
            return False
        if not done.is_latest:
            raise ConflictError(
                f"Something was written to thread {config.thread_id!r} after this run: it stays. "
                "Fork the thread from an older checkpoint instead."
            )
        before = done.first - 1
        thread.rewind(await checkpointer.load_at(config.scope, config.thread_id, before) if before else None)
        await thread.commit(thread.state, thread.progress, source="rollback", node="", parent=before)
        return True
