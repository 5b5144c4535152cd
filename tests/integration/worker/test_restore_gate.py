"""A worker on a database that was restored: it waits, as the API does."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow_tenancy.tombstones import TombstoneRepository
from agentflow_worker.restore_gate import may_work
from tests.support.waiting import soon


@pytest.fixture
async def restored(migrated_database_url: str) -> AsyncIterator[AsyncEngine]:
    """As a server says that was started by the script that restores."""
    settings = {"server_settings": {"agentflow.restore": "20260301T120000Z-1"}}
    engine = create_async_engine(migrated_database_url, connect_args=settings)
    yield engine
    await engine.dispose()


async def test_it_waits_for_the_tombstones(restored: AsyncEngine, caplog: pytest.LogCaptureFixture) -> None:
    """And says once what to do."""
    caplog.set_level(logging.WARNING, "agentflow.worker")
    stop = asyncio.Event()
    waiting = asyncio.create_task(may_work(restored, stop, every_s=0.01))
    await asyncio.to_thread(soon, lambda: caplog.messages, 30)
    assert not waiting.done()
    await TombstoneRepository(restored).apply([])
    assert await waiting
    (said,) = caplog.messages
    assert "apply-tombstones" in said


async def test_it_stops_while_it_waits(restored: AsyncEngine) -> None:
    """Nothing was done."""
    stop = asyncio.Event()
    waiting = asyncio.create_task(may_work(restored, stop))
    stop.set()
    assert not await waiting


async def test_nothing_is_asked_of_others(migrated_database_url: str) -> None:
    """A database that was not restored is worked on at once."""
    engine = create_async_engine(migrated_database_url)
    assert await may_work(engine, asyncio.Event())
    await engine.dispose()
