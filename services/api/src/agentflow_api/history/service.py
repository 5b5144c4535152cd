"""Reading a thread's checkpoints, and making threads of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentflow.core.graph import CompiledGraph
from agentflow.errors import CheckpointNotFoundError, ThreadNotFoundError
from agentflow.storage.checkpointer import BaseCheckpointer, CheckpointInfo
from agentflow_api.graph.service import check_messages
from agentflow_api.history.schemas import ForkRequest
from agentflow_api.http.idempotency import Effect
from agentflow_hosting.invoke_request import messages_in
from agentflow_tenancy import Principal, Run

_MISSING = "There is no such thread."


async def page(
    store: BaseCheckpointer, principal: Principal, thread_id: str, before: int | None, limit: int
) -> Sequence[CheckpointInfo]:
    """Checkpoints of a stored thread, newest first.

    Raises:
        ThreadNotFoundError: There is no such thread.
    """
    found = await store.history(principal.scope, thread_id, before=before, limit=limit)
    if not found and await store.get_thread(principal.scope, thread_id) is None:
        raise ThreadNotFoundError(_MISSING)
    return found


async def one(store: BaseCheckpointer, principal: Principal, thread_id: str, seq: int) -> CheckpointInfo:
    """One of them.

    Raises:
        ThreadNotFoundError, CheckpointNotFoundError.
    """
    found = await page(store, principal, thread_id, seq + 1, 1)
    if not found or found[0].seq != seq:
        raise CheckpointNotFoundError(f"There is no checkpoint {seq}.")
    return found[0]


@dataclass(frozen=True, slots=True)
class Made:
    """What a thread is made with.

    Attributes:
        graph: Whose state it holds.
        run: With which the quotas let it in.
        effect: The name of what is done: a second try finds by it what the first one did.
    """

    graph: CompiledGraph[Any]
    principal: Principal
    run: Run
    effect: Effect

    def config(self, thread_id: str) -> dict[str, Any]:
        """Of a fork."""
        return {
            "thread_id": thread_id,
            "run_id": self.effect.effect_id.hex,
            "scope": self.principal.scope,
            "user_id": self.principal.user_id,
            "token_budget": self.run,
        }

    def require_room(self) -> None:
        """Insist on room for a thread.

        Raises:
            QuotaExceededError: There is none.
        """
        if self.run.no_new_thread is not None:
            self.run.refuse_new_thread()


async def fork(made: Made, thread_id: str, to_thread: str | None, asked: ForkRequest) -> int:
    """An older state as the latest one, of the same stored thread or of a new one; its version.

    Raises:
        QuotaExceededError: There is no room for a new thread.
        InvalidBodyError: `values` hold messages that `check_messages` refuses.
        What `CompiledGraph.afork` raises.
    """
    check_messages("values", messages_in(asked.values))
    done = await _forked_before(made, thread_id if to_thread is None else to_thread)
    if done is not None:
        return done
    if to_thread is not None:
        made.require_room()
    forked = await made.graph.afork(
        made.config(thread_id), checkpoint=asked.checkpoint, to_thread=to_thread, values=asked.values
    )
    return int(forked["checkpoint"])


async def copy(made: Made, thread_id: str, to_thread: str) -> int:
    """A stored thread as another one, with its whole history; its version.

    Raises:
        QuotaExceededError: There is no room for a new thread.
        What `BaseCheckpointer.copy_thread` raises.
    """
    done = await _copied_before(made, thread_id, to_thread)
    if done is not None:
        return done
    made.require_room()
    copied = await made.graph.checkpointer.copy_thread(made.principal.scope, thread_id, to_thread)
    made.run.keep(threads=1, stored_bytes=copied.size_bytes)
    return copied.head


async def copy_latest(made: Made, thread_id: str, to_thread: str) -> int:
    """A stored thread's latest state as another one; its version.

    Raises:
        QuotaExceededError: There is no room for a new thread.
        What `CompiledGraph.acopy` raises.
    """
    done = await _forked_before(made, to_thread)
    if done is not None:
        return done
    made.require_room()
    copied = await made.graph.acopy(made.config(thread_id), to_thread=to_thread, with_history=False)
    return int(copied["checkpoint"])


async def _forked_before(made: Made, thread_id: str) -> int | None:
    """The version that an earlier try made."""
    if made.effect.since is None:
        return None
    found = await made.graph.checkpointer.history(made.principal.scope, thread_id)
    return next((info.seq for info in found if info.run_id == made.effect.effect_id.hex), None)


async def _copied_before(made: Made, thread_id: str, to_thread: str) -> int | None:
    """The version of the copy that an earlier try made: nobody else's checkpoints have these ids."""
    since, store, scope = made.effect.since, made.graph.checkpointer, made.principal.scope
    there = None if since is None else await store.get_thread(scope, to_thread)
    if there is None or since is None or there.created_at < since:
        return None
    copied = await store.history(scope, to_thread, limit=1)
    original = await store.history(scope, thread_id, before=there.head + 1, limit=1)
    is_ours = bool(copied) and [info.checkpoint_id for info in copied] == [
        info.checkpoint_id for info in original
    ]
    return there.head if is_ours else None
