"""Answers that stay open."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agentflow.errors import StoreUnavailableError
from agentflow_api.http.watched import while_let_in
from agentflow_tenancy import CredentialError


class Items:
    """Three items, then waits until somebody says that it is over."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.closed = False

    async def __call__(self) -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
            await self.over.wait()
        finally:
            self.closed = True


class Check:
    """Does what it is told, one time after the other; then lets everybody in."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.asked = asyncio.Event()

    async def __call__(self) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if not self.outcomes:
            self.asked.set()
        if outcome is not None:
            raise outcome


async def test_everything_is_passed_on() -> None:
    """In order, to its end."""
    items = Items()
    items.over.set()
    assert [item async for item in while_let_in(items(), Check())] == [0, 1, 2]
    assert items.closed


async def test_it_ends_with_the_right_to_it() -> None:
    """While nothing is sent, too; and what was running is closed."""
    items = Items()
    opened = while_let_in(items(), Check(None, CredentialError("revoked")), every_s=0.01)
    assert [await anext(opened) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CredentialError):
        await anext(opened)
    assert items.closed


async def test_a_store_that_is_away_ends_nothing() -> None:
    """What is not known is no reason."""
    items, check = Items(), Check(StoreUnavailableError("away"), StoreUnavailableError("away"), None)
    opened = while_let_in(items(), check, every_s=0.01)
    assert [await anext(opened) for _ in range(3)] == [0, 1, 2]
    last = asyncio.ensure_future(anext(opened, "end"))
    await check.asked.wait()
    items.over.set()
    assert await last == "end"


async def test_a_reader_that_leaves_closes_it() -> None:
    """At once, in the middle of waiting."""
    items, check = Items(), Check(None)
    opened = while_let_in(items(), check, every_s=0.01)
    assert [await anext(opened) for _ in range(3)] == [0, 1, 2]
    waiting = asyncio.ensure_future(anext(opened))
    await check.asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert items.closed


async def test_faults_of_what_is_sent_come_through() -> None:
    """As they are."""

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise LookupError("broken")

    opened = while_let_in(broken(), Check())
    assert await anext(opened) == 1
    with pytest.raises(LookupError):
        await anext(opened)
