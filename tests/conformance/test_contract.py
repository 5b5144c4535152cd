"""The shipped suite on every checkpointer that ships."""

from collections.abc import AsyncIterator

import pytest

from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer
from agentflow.storage.checkpointer.testing import CASES, Case

STORES = ["memory", "postgres", "postgres and redis"]


@pytest.fixture(params=STORES)
async def checkpointer(request: pytest.FixtureRequest) -> AsyncIterator[BaseCheckpointer]:
    checkpointer = _make(request)
    yield checkpointer
    await checkpointer.aclose()


def _make(request: pytest.FixtureRequest) -> BaseCheckpointer:
    if request.param == "memory":
        return InMemoryCheckpointer()
    database_url = request.getfixturevalue("database_url")
    redis_url = request.getfixturevalue("redis_url") if request.param == "postgres and redis" else None
    return PgCheckpointer(database_url, redis_url=redis_url)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_contract(case: Case, checkpointer: BaseCheckpointer) -> None:
    await case.run(checkpointer)


def test_cases_are_documented() -> None:
    """Every case says what it expects, and has a name of its own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 30
    assert all(case.expected for case in CASES)
