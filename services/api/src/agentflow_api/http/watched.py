"""Answers that stay open: they end when what let their reader in is over."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress

from agentflow.errors import StoreUnavailableError


async def while_let_in[T](
    items: AsyncIterator[T], recheck: Callable[[], Awaitable[None]], *, every_s: float = 0.5
) -> AsyncGenerator[T]:
    """What an open answer sends, until it ends or its reader is let in no more.

    Args:
        items: What to send; cancelled and closed when this ends.
        recheck: Raises once the key is revoked or its tenant suspended (`TokenGate.recheck`). All answers
            of a key share its look-ups.
        every_s: How often to ask, also while nothing is sent.

    Raises:
        CredentialError, TenantSuspendedError: As `recheck`.
        What `items` raises.
    """
    coming: asyncio.Task[T] | None = None
    loop = asyncio.get_running_loop()
    due = loop.time() + every_s
    try:
        while True:
            if coming is None:
                coming = loop.create_task(_next(items))
            await asyncio.wait({coming}, timeout=max(0.0, due - loop.time()))
            if loop.time() >= due:
                # Without Postgres nothing is known; then the run itself stops at its next boundary.
                with suppress(StoreUnavailableError):
                    await recheck()
                due = loop.time() + every_s
            if coming.done():
                done, coming = coming, None
                try:
                    item = done.result()
                except StopAsyncIteration:
                    return
                yield item
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


async def _next[T](items: AsyncIterator[T]) -> T:
    return await anext(items)
