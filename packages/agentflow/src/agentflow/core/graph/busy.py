"""Getting a thread that another run may hold: wait, refuse, or have the other stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
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


class Hold:
    """A session on a run's thread, got as its `config.when_busy` says. A class, as `Blamed` is."""

    __slots__ = ("_checkpointer", "_config", "_session", "_without_messages")

    def __init__(
        self, checkpointer: BaseCheckpointer, config: RunConfig, *, without_messages: bool = False
    ) -> None:
        self._checkpointer = checkpointer
        self._config = config
        self._without_messages = without_messages

    async def __aenter__(self) -> Held:
        """Get it.

        Raises:
            ThreadBusyError: Another run holds it: at once with "reject", else after the waiting time.
        """
        config = self._config
        self._session = self._opened(config.lock_wait_s if config.when_busy == "enqueue" else 0)
        try:
            await self._session.__aenter__()
        except ThreadBusyError:
            if config.when_busy in ("enqueue", "reject"):
                raise
        else:
            return Held(self._session, was_busy=False)
        self._session = self._opened(config.lock_wait_s)
        await _once_stopped(self._checkpointer, config, self._session)
        return Held(self._session, was_busy=True)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, trace)

    def _opened(self, wait_s: float | None) -> ThreadSession:
        config = self._config
        return self._checkpointer.session(
            config.scope,
            config.thread_id,
            new_thread=NewThread(user_id=config.user_id, name=config.thread_name, metadata=config.metadata),
            wait_s=wait_s,
            without_messages=self._without_messages,
        )


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


async def _once_stopped(checkpointer: BaseCheckpointer, config: RunConfig, session: ThreadSession) -> None:
    """Wait for the thread, and have whoever holds it asked to stop meanwhile."""
    ours = asyncio.Event()
    asking = asyncio.create_task(_ask_to_stop(checkpointer, config, ours))
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(session)
        finally:
            ours.set()
            # Never cancelled: what it asks for last must not reach the thread after our own run began.
            await asyncio.shield(asking)
        stack.pop_all()  # it stays entered


async def _ask_to_stop(checkpointer: BaseCheckpointer, config: RunConfig, ours: asyncio.Event) -> None:
    while not ours.is_set():
        with suppress(StorageError):  # then we wait as others do
            await checkpointer.request_stop(config.scope, config.thread_id)
        with suppress(TimeoutError):
            await asyncio.wait_for(ours.wait(), _ASK_AGAIN_S)
