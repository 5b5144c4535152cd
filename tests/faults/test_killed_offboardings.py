"""Workers killed within each step of an offboarding, Redis away, and transactions that stand in the way."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow_embedded import EmbeddedValkey
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.control_plane import SYSTEM
from agentflow_tenancy.moves import Mover, OperationRepository
from agentflow_tenancy.offboarding import (
    Offboarding,
    OffboardingRepository,
    Purger,
    ReceiptRepository,
    Request,
)
from agentflow_tenancy.offboarding.receipts import verify, verify_chain
from agentflow_worker.operation_runner import OperationRunner
from tests.support import databases
from tests.support.leaving import (
    STAYS,
    fill_control_plane,
    keys_of,
    rows_of,
    runner_of,
    texts_with,
    work_all,
    write_thread,
)

ROOT = Path(__file__).parents[2]
CANARY = "canary-of-the-killed"

pytestmark = pytest.mark.leaves_connections  # those of killed processes

type Connection = asyncpg.Connection[Any]


class Leaving:
    """Two tenants with something in every place; one of them is to leave."""

    def __init__(self, url: str, redis_url: str) -> None:
        self.url = url
        self.redis_url = redis_url

    async def __aenter__(self) -> Self:
        self.engine: AsyncEngine = create_async_engine(self.url)
        self.owner: Connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        self.redis = Redis.from_url(self.redis_url)
        self.checkpointer = PgCheckpointer(databases.app_url(self.url), self.redis_url)
        self.repository = OffboardingRepository(self.engine)
        self.tenant = await self.filled("a-1", CANARY)
        self.neighbour = await self.filled("a-10", "other")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.checkpointer.aclose()
        await self.redis.aclose()
        await self.owner.close()
        await self.engine.dispose()

    async def filled(self, slug: str, text: str) -> Tenant:
        tenant = await TenantRepository(self.engine).create_tenant(slug)
        scope = Scope(tenant.tenant_id, tenant.placement, principal=text)
        for number in range(4):
            await write_thread(self.checkpointer, scope, f"tenant-{slug}:{number}", text)
        await fill_control_plane(self.engine, self.owner, tenant, text)
        return tenant

    async def dedicated(self, tenant: Tenant | None = None) -> None:
        operations = OperationRepository(self.engine)
        await operations.request(tenant or self.tenant, None, actor=SYSTEM)
        await OperationRunner(operations, Mover(self.engine, settle_s=0)).work_once()

    async def asked(self, **asked: Any) -> Offboarding:
        return await self.repository.request(self.tenant, Request(**asked), actor=SYSTEM)

    async def killed(self, statement: str, number: int) -> None:
        """A worker that ends there."""
        command = ["-m", "tests.support.dying_offboarding", self.url, self.redis_url, statement, str(number)]
        process = await asyncio.to_thread(subprocess.run, [sys.executable, *command], cwd=ROOT, check=False)
        assert process.returncode == -signal.SIGKILL

    async def finished(self, asked: Offboarding) -> Offboarding:
        """Somebody else comes, once the dead one's lease is over by the database's clock."""
        runner = runner_of(self.engine, redis=self.redis)
        async with asyncio.timeout(60):
            while True:
                await work_all(runner)
                now = await self.repository.get(asked.offboarding_id)
                assert now is not None
                if now.finished_at is not None:
                    return now
                await asyncio.sleep(0.05)


# In the pool: while it settles, before the fence, with it closed, before a batch and behind it, the second
# table, the tenant itself, the first look of the verifier, and around the receipt.
POOL = [
    ("undo_moves", 1), ("step_offboarding exporting fence", 1), ("step_offboarding grace fence", 1),
    ("close", 1), ("writers", 1), ("step_offboarding purging leaves", 1),
    ("step_offboarding purging threads", 1), ("purge_batch", 1), ("purge_batch", 2), ("note_batch", 1),
    ("step_offboarding purging tables", 1), ("keep_digests", 1), ("purge_table", 2), ("purge_table", 13),
    ("step_offboarding purging elsewhere", 1), ("step_offboarding verifying elsewhere", 1), ("sees_all", 1),
    ("end_purge", 1), ("create_receipt", 1), ("create_tombstone", 1),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "number"), POOL)
async def test_killed_in_the_pool(
    migrated_database_url: str, redis_url: str, statement: str, number: int
) -> None:
    """Another one ends it: one receipt with exact numbers, nothing left, the neighbour as it was."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        before = await rows_of(leaving.owner, leaving.neighbour.tenant_id)
        asked = await leaving.asked()
        await leaving.killed(statement, number)
        done = await leaving.finished(asked)
        assert (done.state, done.threads_purged) == ("purged", 4)
        assert await texts_with(leaving.owner, CANARY) == {}
        assert set(await rows_of(leaving.owner, leaving.tenant.tenant_id)) == STAYS
        assert await keys_of(leaving.redis, leaving.tenant.tenant_id) == []
        assert await rows_of(leaving.owner, leaving.neighbour.tenant_id) == before
        receipts = ReceiptRepository(leaving.engine)
        (receipt,) = await receipts.page()
        content = verify(receipt.as_file(), await receipts.jwks())
        deleted = content["deleted"]
        assert (deleted["agentflow_threads"], deleted["agentflow_messages"]) == (4, 12)
        assert (deleted["agentflow_api_keys"], deleted["agentflow_tenants"]) == (1, 1)


@pytest.mark.parametrize(
    ("statement", "number"),
    [("leaf_sizes", 1), ("detach", 1), ("detach", 3), ("drop_leaves", 1), ("purge_table", 2)],
)
async def test_killed_with_its_own_partition(
    migrated_database_url: str, redis_url: str, statement: str, number: int
) -> None:
    """No leaf is left, attached or not; the receipt names all five."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        await leaving.dedicated()
        asked = await leaving.asked()
        await leaving.killed(statement, number)
        done = await leaving.finished(asked)
        assert done.state == "purged"
        assert await texts_with(leaving.owner, CANARY) == {}
        left = "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '_p1[0-9]{3}$'"
        assert await leaving.owner.fetchval(left) == 0
        assert await leaving.owner.fetchval("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == 0
        (receipt,) = await ReceiptRepository(leaving.engine).page()
        content = receipt.as_file()["receipt"]
        assert len(content["dropped_partitions_bytes"]) == 5
        assert (content["deleted"]["run queue"], content["deleted"]["kept answers"]) == (1, 2)


async def test_a_reader_of_a_detached_leaf(migrated_database_url: str, redis_url: str) -> None:
    """It is waited for, and named; what was deleted elsewhere before stands in the receipt all the same."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        await leaving.dedicated()
        asked = await leaving.asked()
        await leaving.killed("drop_leaves", 1)
        leaf = await leaving.owner.fetchval(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^agentflow_messages_p1[0-9]{3}$'"
        )
        reader = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch(f"SELECT FROM {leaf}")
        purger = Purger(leaving.engine, lock_s=0.3)
        waiting = await leaving.repository.get(asked.offboarding_id)
        while waiting is not None and waiting.error is None:  # whose lease the killed one has for a while
            await work_all(runner_of(leaving.engine, redis=leaving.redis, purger=purger))
            await asyncio.sleep(0.05)
            waiting = await leaving.repository.get(asked.offboarding_id)
        assert waiting is not None
        assert (waiting.state, waiting.step) == ("purging", "tables")
        assert f"(pid {reader.get_server_pid()})" in str(waiting.error)
        await transaction.rollback()
        await reader.close()
        assert (await leaving.finished(asked)).state == "purged"
        (receipt,) = await ReceiptRepository(leaving.engine).page()
        deleted = receipt.as_file()["receipt"]["deleted"]
        assert (deleted["run queue"], deleted["kept answers"], deleted["agentflow_tenants"]) == (1, 2, 1)


@pytest.mark.parametrize("statement", ["places", "tables", "end_measuring"])
async def test_killed_in_a_dry_run(migrated_database_url: str, redis_url: str, statement: str) -> None:
    """Another one counts, the same; nothing was changed."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        before = await rows_of(leaving.owner, leaving.tenant.tenant_id)
        asked = await leaving.asked(dry_run=True)
        await leaving.killed(statement, 1)
        done = await leaving.finished(asked)
        assert (done.threads_total, done.counts["agentflow_messages"]) == (4, 12)
        after = await rows_of(leaving.owner, leaving.tenant.tenant_id)
        assert after.keys() - before.keys() == {"agentflow_offboardings"}
        assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("cancel_runs", 1), ("step_offboarding purging leaves", 1), ("step_offboarding purging threads", 1),
        ("end_claims", 1), ("forget_names", 1), ("purge_threads", 1),
        ("step_offboarding purging tables", 1), ("purge_table_of_user", 1),
        ("step_offboarding purging elsewhere", 1), ("step_offboarding verifying elsewhere", 1),
        ("sees_all", 1), ("create_tombstone", 1),
    ],
)  # fmt: skip
async def test_killed_while_a_user_is_forgotten(
    migrated_database_url: str, redis_url: str, statement: str, number: int
) -> None:
    """The others of the tenant keep what they have; one receipt."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        scope = Scope(leaving.tenant.tenant_id, leaving.tenant.placement, principal="stays")
        await write_thread(leaving.checkpointer, scope, "tenant-a-1:stays", "stays")
        asked = await leaving.asked(user_id=CANARY)
        await leaving.killed(statement, number)
        done = await leaving.finished(asked)
        assert (done.state, done.threads_purged) == ("purged", 4)
        threads = await leaving.owner.fetch(
            "SELECT user_id FROM agentflow_threads WHERE tenant_id = $1", leaving.tenant.tenant_id
        )
        assert [row["user_id"] for row in threads] == ["stays"]
        assert len(await ReceiptRepository(leaving.engine).page()) == 1


async def dumped(redis: Redis) -> bytes:
    """What the server would write to a disk, with every text as it is."""
    await redis.config_set("rdbcompression", "no")
    await redis.save()
    settings = await redis.config_get("dir", "dbfilename")
    path = Path(str(settings["dir"])) / str(settings["dbfilename"])
    content = await asyncio.to_thread(path.read_bytes)
    path.unlink()
    return content


async def test_redis_is_away_during_a_purge(migrated_database_url: str, own_valkey: EmbeddedValkey) -> None:
    """It waits and says why; there is no receipt before Redis was looked into."""
    async with Leaving(migrated_database_url, own_valkey.url) as leaving:
        asked = await leaving.asked()
        own_valkey.kill()
        await work_all(runner_of(leaving.engine, redis=leaving.redis))
        waiting = await leaving.repository.get(asked.offboarding_id)
        assert waiting is not None
        assert waiting.finished_at is None
        assert waiting.error is not None
        assert "Redis" in waiting.error
        assert await ReceiptRepository(leaving.engine).page() == []
        own_valkey.start()
        scope = Scope(leaving.neighbour.tenant_id, leaving.neighbour.placement)
        await write_thread(leaving.checkpointer, scope, "tenant-a-10:again", "other")
        # A cache that comes back with what it held.
        await leaving.redis.set(f"af:{{{leaving.tenant.tenant_id.hex}:x}}:s:1:1", CANARY)
        assert CANARY.encode() in await dumped(leaving.redis)
        done = await leaving.finished(asked)
        assert done.state == "purged"
        assert await keys_of(leaving.redis, leaving.tenant.tenant_id) == []
        dump = await dumped(leaving.redis)
        assert leaving.neighbour.tenant_id.hex.encode() in dump
        assert CANARY.encode() not in dump
        assert leaving.tenant.tenant_id.hex.encode() not in dump


async def test_a_long_transaction_is_in_the_way(migrated_database_url: str, redis_url: str) -> None:
    """The partition stays until it ends, which the record says; others read and write all the time."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        await leaving.dedicated()
        alike = await leaving.filled("c", "in the same way")
        await leaving.dedicated(alike)
        reader = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("SELECT * FROM agentflow_threads")
        asked = await leaving.asked()
        other = await leaving.filled("b", "another that leaves")
        others = await leaving.repository.request(other, Request(), actor=SYSTEM)
        second = await leaving.repository.request(alike, Request(), actor=SYSTEM)
        runner = runner_of(leaving.engine, redis=leaving.redis, purger=Purger(leaving.engine, lock_s=0.3))
        working = asyncio.create_task(work_all(runner))
        scope = Scope(leaving.neighbour.tenant_id, leaving.neighbour.placement)
        wrote = 0
        while not working.done():
            await write_thread(leaving.checkpointer, scope, f"tenant-a-10:{wrote}-more", "x", versions=1)
            wrote += 1
        await working
        for one in (asked, second):
            waiting = await leaving.repository.get(one.offboarding_id)
            assert waiting is not None
            assert (waiting.state, waiting.step) == ("purging", "leaves")
            assert waiting.error is not None
            assert f"(pid {reader.get_server_pid()})" in waiting.error
        assert wrote > 0
        beside = await leaving.repository.get(others.offboarding_id)
        assert beside is not None
        assert beside.state == "purged", "another one that leaves does not wait"
        await transaction.rollback()
        await reader.close()
        for one in (asked, second):
            done = await leaving.finished(one)
            assert (done.state, done.error) == ("purged", None)


async def test_two_workers_at_once(migrated_database_url: str, redis_url: str) -> None:
    """Each offboarding is ended by one of them; receipts have no gap and follow each other."""
    async with Leaving(migrated_database_url, redis_url) as leaving:
        tenants = [await leaving.filled(f"b-{number}", f"text-{number}") for number in range(4)]
        for tenant in tenants:
            await leaving.repository.request(tenant, Request(), actor=SYSTEM)
        runners = [runner_of(leaving.engine, redis=leaving.redis) for _ in range(2)]
        await asyncio.gather(*(work_all(runner) for runner in runners))
        receipts = ReceiptRepository(leaving.engine)
        page = await receipts.page()
        assert [receipt.sequence for receipt in page] == [1, 2, 3, 4]
        assert verify_chain([receipt.as_file() for receipt in page], await receipts.jwks()) == 4
