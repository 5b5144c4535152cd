"""Getting a thread that another run may hold: wait, refuse, or have the other stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from agentflow.core.graph.config import RunConfig
from agentflow.errors import LeaseLostError, StorageError, ThreadBusyError
from agentflow.storage.checkpointer.base import BaseCheckpointer, ThreadSession
from agentflow.storage.checkpointer.types import NewThread

# The holder may not have begun when it was first asked, and its beginning forgets what it was asked before.
_ASK_AGAIN_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """A thread that is ours now.

    Attributes:
        was_busy: Another run held it when we came, and was asked to stop.
    """

    session: ThreadSession
    was_busy: bool


@asynccontextmanager
async def hold(
    checkpointer: BaseCheckpointer, config: RunConfig, *, without_messages: bool = False
) -> AsyncGenerator[Held]:
    """A session on the run's thread, got as `config.when_busy` says.

    Raises:
        ThreadBusyError: Another run holds it: at once with "reject", else after the waiting time.
    """
    patient = config.when_busy == "enqueue"
    open_one = partial(_session, checkpointer, config, without_messages=without_messages)
    session = open_one(config.lock_wait_s if patient else 0)
    was_busy = False
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(session)
        except ThreadBusyError:
            if config.when_busy in ("enqueue", "reject"):
                raise
            session, was_busy = open_one(config.lock_wait_s), True
            await _once_stopped(checkpointer, config, stack, session)
        yield Held(session, was_busy)


@asynccontextmanager
async def while_held(session: ThreadSession) -> AsyncGenerator[None]:
    """Cancels what runs inside once the session's lock is lost.

    Raises:
        LeaseLostError: It was.
    """
    scope = asyncio.timeout(None)
    loop = asyncio.get_running_loop()
    try:
        async with scope:
            session.when_lost(lambda: scope.reschedule(loop.time()))
            try:
                yield
            finally:
                session.when_lost(None)
    except TimeoutError as error:
        if not scope.expired():
            raise
        raise LeaseLostError(
            "Another run holds the thread now: this one was silent for longer than its lease, and was ended."
        ) from error


def _session(
    checkpointer: BaseCheckpointer, config: RunConfig, wait_s: float | None, *, without_messages: bool
) -> ThreadSession:
    return checkpointer.session(
        config.scope,
        config.thread_id,
        new_thread=NewThread(user_id=config.user_id, name=config.thread_name, metadata=config.metadata),
        wait_s=wait_s,
        without_messages=without_messages,
    )


async def _once_stopped(
    checkpointer: BaseCheckpointer, config: RunConfig, stack: AsyncExitStack, session: ThreadSession
) -> None:
    """Wait for the thread, and have whoever holds it asked to stop meanwhile."""
    ours = asyncio.Event()
    asking = asyncio.create_task(_ask_to_stop(checkpointer, config, ours))
    try:
        await stack.enter_async_context(session)
    finally:
        ours.set()
        # Never cancelled: what it asks for last must not reach the thread after our own run began.
        await asyncio.shield(asking)


async def _ask_to_stop(checkpointer: BaseCheckpointer, config: RunConfig, ours: asyncio.Event) -> None:
    while not ours.is_set():
        with suppress(StorageError):  # then we wait as others do
            await checkpointer.request_stop(config.scope, config.thread_id)
        with suppress(TimeoutError):
            await asyncio.wait_for(ours.wait(), _ASK_AGAIN_S)
