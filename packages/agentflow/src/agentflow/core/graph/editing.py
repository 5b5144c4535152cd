"""Changing a thread by hand, between runs: a checkpoint like any other, so that its history stays exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentflow.core.graph.blueprint import Blueprint
from agentflow.core.graph.busy import Hold
from agentflow.core.graph.config import RunConfig
from agentflow.core.graph.progress import Progress
from agentflow.core.graph.rejoin import earlier_attempt
from agentflow.core.graph.thread import LiveThread
from agentflow.core.graph.updates import BadUpdateError, Update, checked_fields, merge
from agentflow.core.state.agent_state import AgentState
from agentflow.core.state.execution import ExecutionState
from agentflow.core.state.message import Message
from agentflow.core.state.pending_calls import check_results, pending_calls
from agentflow.core.state.reducers import RemoveMessage
from agentflow.errors import InvalidInputError, StaleCheckpointError, ThreadNotFoundError
from agentflow.storage.checkpointer.base import BaseCheckpointer

# Somebody without a lease may write in between; then the change is made on what they wrote.
_TRIES: Final = 3

# In the stored fields of a thread whose state was cleared, until something is written to it.
CLEARED: Final = "$cleared"


@dataclass(slots=True)
class Change[S: AgentState]:
    """What a thread becomes.

    Attributes:
        progress: What is left of its run; None leaves that as it is.
        count: How many messages it is about.
        clears: Nothing is left of the state.
    """

    state: S
    progress: Progress | None = None
    count: int = 0
    clears: bool = False


type Making[S: AgentState] = Callable[[LiveThread[S]], Change[S] | None]


async def edit[S: AgentState](
    blueprint: Blueprint[S],
    checkpointer: BaseCheckpointer,
    config: RunConfig,
    making: Making[S],
    *,
    makes_thread: bool = False,
) -> tuple[S, int]:
    """Hold a thread as a run does and write what `making` makes of it.

    Args:
        blueprint: The graph.
        checkpointer: Where the thread is.
        config: Which; with `rejoin_since` a change by the same `run_id` is made once.
        making: The change; None changes nothing.
        makes_thread: Whether a missing thread comes into being.

    Returns:
        The state, and how many messages the change was about.

    Raises:
        ThreadNotFoundError: There is none, and it is not to be made.
        ThreadBusyError: A run held it for the whole waiting time.
        StaleCheckpointError: Somebody without its lock wrote again and again.
    """
    async with Hold(checkpointer, config) as held:
        thread = LiveThread(blueprint, held.session, config.run_id, budget=config.budget)
        await thread.reload()
        for tries_left in reversed(range(_TRIES)):
            if thread.is_new and not makes_thread:
                raise ThreadNotFoundError(f"There is no thread {config.thread_id!r}.")
            if await _is_done(checkpointer, config):
                return thread.state, 0
            change = making(thread)
            if change is None:
                return thread.state, 0
            progress = thread.progress if change.progress is None else change.progress
            marks = {CLEARED: True} if change.clears else {}
            try:
                await thread.commit(change.state, progress, source="update", node="", marks=marks)
            except StaleCheckpointError:
                if not tries_left:
                    raise
                await thread.reload()
            else:
                return thread.state, change.count
    raise AssertionError  # the loop returns or raises


def merging[S: AgentState](blueprint: Blueprint[S], values: Mapping[str, Any]) -> Making[S]:
    """Append to the context, merge dicts deeply, replace the rest; null erases nothing.

    Raises:
        InvalidInputError: `values` do not fit the state.
    """
    given = {name: value for name, value in values.items() if value is not None and name != "execution_meta"}

    def make(thread: LiveThread[S]) -> Change[S]:
        try:
            fields = checked_fields(given, blueprint.state_type)
            merged = {name: _deep(getattr(thread.state, name, None), value) for name, value in fields.items()}
            messages = merged.pop("context", None)
            check_results(thread.state.context, messages or ())
            update = Update(reduce={"context": messages} if messages else {}, assign=merged)
            state = merge(thread.state, [update], blueprint.reducers)
        except BadUpdateError as error:
            raise InvalidInputError(f"The state holds {error}") from error
        return Change(state, count=len(messages or ()))

    return make


def adding[S: AgentState](blueprint: Blueprint[S], messages: Sequence[Message]) -> Making[S]:
    """Append messages."""

    def make(thread: LiveThread[S]) -> Change[S]:
        check_results(thread.state.context, messages)
        known = {message.message_id for message in thread.state.context}
        if taken := [message.message_id for message in messages if message.message_id in known]:
            raise InvalidInputError(f"The thread holds a message {taken[0]!r} already: leave the id out.")
        state = merge(thread.state, [Update(reduce={"context": list(messages)})], blueprint.reducers)
        return Change(state, count=len(messages))

    return make


def removing[S: AgentState](blueprint: Blueprint[S], message_id: str) -> Making[S]:
    """Take a message out.

    Raises:
        ThreadNotFoundError: It is not there.
    """

    def make(thread: LiveThread[S]) -> Change[S]:
        if all(message.message_id != message_id for message in thread.state.context):
            raise ThreadNotFoundError(f"The thread holds no message {message_id!r}.")
        update = Update(reduce={"context": [RemoveMessage(message_id)]})
        return Change(merge(thread.state, [update], blueprint.reducers), count=1)

    return make


def clearing[S: AgentState](blueprint: Blueprint[S], thread_id: str) -> Making[S]:
    """Start anew from the graph's own beginning."""

    def make(_thread: LiveThread[S]) -> Change[S]:
        state = blueprint.template.model_copy(deep=True)
        state.execution_meta = ExecutionState(thread_id=thread_id)
        return Change(state, Progress(), clears=True)

    return make


def fixing[S: AgentState](blueprint: Blueprint[S]) -> Making[S]:
    """Take out what interrupted tool calls left: messages that call tools which never answered."""

    def make(thread: LiveThread[S]) -> Change[S] | None:
        left = {pending.message_id for pending in pending_calls(thread.state.context)}
        if not left:
            return None
        gone = [
            RemoveMessage(message.message_id)
            for message in thread.state.context
            if message.message_id in left
        ]
        state = merge(thread.state, [Update(reduce={"context": gone})], blueprint.reducers)
        return Change(state, Progress(), count=len(gone))

    return make


async def _is_done(checkpointer: BaseCheckpointer, config: RunConfig) -> bool:
    if config.rejoin_since is None:
        return False
    found = await earlier_attempt(
        checkpointer, config.scope, config.thread_id, config.run_id, config.rejoin_since
    )
    return found is not None


def _deep(old: Any, new: Any) -> Any:
    """Dicts merged into dicts, whatever their depth; anything else replaced, but not by null."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    merged = dict(old)
    for key, value in new.items():
        if value is not None:
            merged[key] = _deep(old.get(key), value)
    return merged
