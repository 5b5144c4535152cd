"""What tests of the library share."""

from collections.abc import AsyncIterator

import pytest

from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer


@pytest.fixture(params=["memory", "postgres and redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[BaseCheckpointer]:
    """Each of the two, empty."""
    if request.param == "memory":
        yield InMemoryCheckpointer()
        return
    urls = request.getfixturevalue("database_url"), request.getfixturevalue("redis_url")
    checkpointer = PgCheckpointer(*urls)
    yield checkpointer
    await checkpointer.aclose()
