"""LangGraph's own conformance suite on `AgentFlowSaver`."""

from collections.abc import AsyncGenerator

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES

from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.storage.checkpointer import PgCheckpointer

# What the suite holds today. `passed_all` is true also when it found nothing to run.
TESTS = 81


async def test_the_public_suite_passes_whole(migrated_database_url: str) -> None:
    """Every capability is found, and every one of the suite's tests passes."""
    checkpointer = PgCheckpointer(migrated_database_url, None)

    async def saver() -> AsyncGenerator[BaseCheckpointSaver[str]]:
        yield AgentFlowSaver(checkpointer)

    report = await validate(checkpointer_test("AgentFlowSaver")(saver))
    await checkpointer.aclose()

    results = report.results
    failures = [failure for result in results.values() for failure in result.failures]
    assert failures == []
    assert {name for name, result in results.items() if result.detected} == {
        capability.value for capability in ALL_CAPABILITIES
    }
    assert sum(result.tests_passed for result in results.values()) == TESTS
    assert sum(result.tests_skipped + result.tests_failed for result in results.values()) == 0
