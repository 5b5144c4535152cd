"""Our contract for LangGraph savers: kept by ours, and broken by each that is wrong in a known way."""

import contextvars
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentflow.errors import AgentFlowError, NotFoundError, StaleCheckpointError
from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.integrations.langgraph.book import ThreadState
from agentflow.integrations.langgraph.writing import Put, Writer
from agentflow.storage.checkpointer import Scope
from tests.support.langgraph_contract import CASES, Case, Home, all_of, config


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_our_saver_keeps_the_contract(case: Case, migrated_database_url: str) -> None:
    """Each case, on a database of its own."""
    home = Home(migrated_database_url, AgentFlowSaver)
    try:
        await case(home)
    finally:
        await home.checkpointer.aclose()


class DeletesByPrefix(AgentFlowSaver):
    async def adelete_thread(self, thread_id: str) -> None:
        ids = {found.config["configurable"]["thread_id"] for found in await all_of(self)}
        for other in {thread_id, *(one for one in ids if one.startswith(thread_id))}:
            await super().adelete_thread(other)


class ReadsByPattern(AgentFlowSaver):
    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        import fnmatch

        pattern = config["configurable"]["thread_id"].replace("%", "*").replace("_", "?")
        for found in await all_of(self):
            if fnmatch.fnmatchcase(found.config["configurable"]["thread_id"], pattern):
                return found
        return None


class MemoryOnly(AgentFlowSaver):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._memory = InMemorySaver()

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new: ChannelVersions,
    ) -> RunnableConfig:
        return await self._memory.aput(config, checkpoint, metadata, new)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return await self._memory.aget_tuple(config)


class LeavesOrphans(AgentFlowSaver):
    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        try:
            await super().aput_writes(config, writes, task_id, task_path)
        except NotFoundError:
            backend = await self._checkpointer.backend()
            async with backend._engine.connect() as connection:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                await driver.execute(
                    "INSERT INTO agentflow_writes VALUES (0, $1, 0, $2, 'c', $3, '', 'n', 'null', '')",
                    self._scope.placement, self._scope.tenant_id, task_id,
                )  # fmt: skip


class Interleaves(AgentFlowSaver):
    """Of today's savers, many: a parent is a label, so two writers from one both succeed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)

        class Lenient(Writer):
            async def _admit(self, put: Put, state: ThreadState) -> None:
                return None

        self._writer = Lenient(self._checkpointer, self._scope, self._book)


class ForgetsWhatWasRead(AgentFlowSaver):
    """Takes every put without a parent for a new line."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new: ChannelVersions,
    ) -> RunnableConfig:
        self._sight._seen = contextvars.ContextVar("other")
        return await super().aput(config, checkpoint, metadata, new)


class Resurrects(AgentFlowSaver):
    async def aput(
        self,
        where: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new: ChannelVersions,
    ) -> RunnableConfig:
        try:
            return await super().aput(where, checkpoint, metadata, new)
        except StaleCheckpointError:
            if await self.aget_tuple(config(where["configurable"]["thread_id"])):
                raise
            return await super().aput(config(where["configurable"]["thread_id"]), checkpoint, metadata, new)


class IgnoresTenants(AgentFlowSaver):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "scope": Scope()})


class ShowsTheLatest(AgentFlowSaver):
    async def aget_tuple(self, where: RunnableConfig) -> CheckpointTuple | None:
        found, last = await super().aget_tuple(where), await super().aget_tuple(config())
        if found is not None and last is not None and "messages" in found.checkpoint["channel_values"]:
            found.checkpoint["channel_values"]["messages"] = last.checkpoint["channel_values"]["messages"]
        return found


class TrustsIdentity(AgentFlowSaver):
    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new: ChannelVersions,
    ) -> RunnableConfig:
        state = self._book.get(config["configurable"]["thread_id"])
        for _, row in state.entries if state else ():
            if row.message is not None:
                row.seen = row.message.__dict__
        return await super().aput(config, checkpoint, metadata, new)


class FiltersByPattern(AgentFlowSaver):
    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - its name
        **page: Any,
    ) -> AsyncIterator[CheckpointTuple]:
        asked = {key: value for key, value in (filter or {}).items() if "%" not in str(value)}
        async for found in super().alist(config, filter=asked, **page):
            yield found


class PrunesTooMuch(AgentFlowSaver):
    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        await super().aprune(thread_ids, strategy="delete")


class DropsWholeThreads(AgentFlowSaver):
    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        for thread_id in await self._store.threads_of_runs(run_ids, "", 100):
            await self.adelete_thread(thread_id)


class CopiesTheHead(AgentFlowSaver):
    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        await super().acopy_thread(source_thread_id, target_thread_id)
        await super().aprune([target_thread_id])


class Trusting(AgentFlowSaver):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options, serde=JsonPlusSerializer(allowed_msgpack_modules=True))


MUTANTS = [
    DeletesByPrefix, ReadsByPattern, MemoryOnly, LeavesOrphans, Interleaves, ForgetsWhatWasRead, Resurrects,
    IgnoresTenants, ShowsTheLatest, TrustsIdentity, FiltersByPattern, PrunesTooMuch, DropsWholeThreads,
    CopiesTheHead, Trusting,
]  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
async def test_each_broken_saver_fails(mutant: type[AgentFlowSaver], migrated_database_url: str) -> None:
    """With an assertion, or an error the case did not expect; but it is not broken altogether."""
    home = Home(migrated_database_url, mutant)
    failed = []
    try:
        for case in CASES:
            await home.sql("DELETE FROM agentflow_threads")
            await home.sql("DELETE FROM agentflow_writes")
            try:
                await case(home)
            except (AssertionError, AgentFlowError, LookupError, TypeError, AttributeError):
                failed.append(case.__name__)
    finally:
        await home.checkpointer.aclose()
    assert failed
    assert len(failed) < len(CASES), "so broken that it proves nothing"
