"""The shipped suite on every checkpointer that ships."""

from collections.abc import AsyncIterator

import pytest

from agentflow.storage.checkpointer import BaseCheckpointer, InMemoryCheckpointer, PgCheckpointer
from agentflow.storage.checkpointer.testing import CASES, Case
from tests.support import databases

# The last one logs in as the service does: row level security shows it the tenants that its statements name.
UNDER_POLICIES = "postgres under row level security"
STORES = ["memory", "postgres", "postgres and redis", UNDER_POLICIES]


@pytest.fixture
async def checkpointer(request: pytest.FixtureRequest) -> AsyncIterator[BaseCheckpointer]:
    checkpointer = _make(request)
    yield checkpointer
    await checkpointer.aclose()


def _make(request: pytest.FixtureRequest) -> BaseCheckpointer:
    if request.param == "memory":
        return InMemoryCheckpointer()
    if request.param == UNDER_POLICIES:
        return PgCheckpointer(databases.app_url(request.getfixturevalue("migrated_database_url")), None)
    database_url = request.getfixturevalue("database_url")
    redis_url = request.getfixturevalue("redis_url") if request.param == "postgres and redis" else None
    return PgCheckpointer(database_url, redis_url=redis_url)


# Housekeeping over all tenants is not for the service's login, which is shown the tenants that it names.
FOR_OPERATORS = {
    "pruning_keeps_the_last_versions_exactly",
    "unchanged_threads_are_swept",
    "living_threads_are_not_swept",
    "threads_past_their_end_are_swept",
}
EXAMPLES = [
    (store, case)
    for store in STORES
    for case in CASES
    if store != UNDER_POLICIES or case.name not in FOR_OPERATORS
]


@pytest.mark.parametrize(
    ("checkpointer", "case"),
    EXAMPLES,
    indirect=["checkpointer"],
    ids=[f"{store}-{case.name}" for store, case in EXAMPLES],
)
async def test_contract(case: Case, checkpointer: BaseCheckpointer) -> None:
    await case.run(checkpointer)


def test_cases_are_documented() -> None:
    """Every case says what it expects, and has a name of its own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 30
    assert all(case.expected for case in CASES)
