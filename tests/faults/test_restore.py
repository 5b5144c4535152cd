"""A backup restored to a time: what was there then is, what was deleted for good does not come back."""

import asyncio
import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow.errors import TenantGoneError
from agentflow.storage.checkpointer import PgCheckpointer, Scope
from agentflow.storage.checkpointer.testing.case import message, write_after
from agentflow.storage.checkpointer.types import NewThread
from agentflow_embedded import EmbeddedPostgres
from agentflow_tenancy import Tenant, TenantRepository
from agentflow_tenancy.restores import UnappliedTombstonesError, check_restored
from agentflow_tenancy.tombstones import Tombstone, written
from tests.support import databases
from tests.support.api import Api, last_text, running_api, say
from tests.support.restoring import Backups, scripts_in
from tests.support.waiting import soon

pytestmark = [pytest.mark.slow, pytest.mark.own_server]


@pytest.fixture
def backups(state_dir: Path) -> Iterator[Backups]:
    """Of a server that archives its WAL."""
    scripts, archive, folder = scripts_in(state_dir), state_dir / "archive", state_dir / "backups"
    command = f"AGENTFLOW_WAL_ARCHIVE={archive} {scripts / 'archive-wal'} %p %f"
    settings = {"archive_mode": "on", "archive_command": command}
    with EmbeddedPostgres(state_dir, settings=settings) as server:
        for path in (archive, folder):
            path.mkdir()
            server.home.account.own(path)
        backups = Backups(server, scripts, archive, folder)
        try:
            yield backups
        finally:
            backups.stop()


async def write(url: str, tenant: Tenant, name: str, user_id: str = "u") -> None:
    checkpointer = PgCheckpointer(url, None)
    new_thread = NewThread(user_id=user_id)
    try:
        async with checkpointer.session(
            Scope(tenant.tenant_id, tenant.placement), name, new_thread=new_thread
        ) as session:
            pos = 0 if session.snapshot is None else session.snapshot.next_pos
            await session.append(write_after(session.snapshot, {"at": pos}, added=[message(pos, name)]))
    finally:
        await checkpointer.aclose()


async def query(url: str, statement: str, *arguments: Any) -> Any:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


async def threads(url: str) -> list[str]:
    return [
        row["thread_id"] for row in await query(url, "SELECT thread_id FROM agentflow_threads ORDER BY 1")
    ]


def archive_all(server: EmbeddedPostgres) -> None:
    """All that was written until now is in the archive."""
    switched = "SELECT pg_walfile_name(pg_switch_wal()) AS name"
    [row] = databases.run(query(server.superuser_url, switched))
    done = "SELECT FROM pg_stat_archiver WHERE last_archived_wal >= $1"
    soon(lambda: databases.run(query(server.superuser_url, done, row["name"])), 120)


async def rows_of(url: str, tenant_id: uuid.UUID) -> dict[str, int]:
    """Where anything of a tenant is left, by the catalogue."""
    tables = await query(
        url,
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') AND starts_with(c.relname, 'agentflow_')",
    )
    found = {}
    for row in tables:
        [count] = await query(
            url, f"SELECT count(*) AS rows FROM {row['relname']} WHERE tenant_id = $1", tenant_id
        )
        found[row["relname"]] = count["rows"]
    return {table: count for table, count in found.items() if count}


def command(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentflow_cloud", *words],
        env={**os.environ, "AGENTFLOW_OPERATIONS_DATABASE_URL": url, "AGENTFLOW_REDIS_URL": "none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@contextmanager
def worker_on(url: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker for the length of a block."""
    given = {"AGENTFLOW_OPERATIONS_DATABASE_URL": url, "AGENTFLOW_REDIS_URL": "none"}
    process = subprocess.Popen(
        [sys.executable, "-m", "agentflow_worker"],
        env={**os.environ, **given},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def says(process: "subprocess.Popen[str]", words: str) -> None:
    """Wait for a line of its log."""
    assert process.stderr is not None
    assert any(words in line for line in process.stderr), f"it ended without {words!r}"


async def _story(backups: Backups) -> tuple[dict[str, Tenant], str, str]:
    """Tenants that write before the backup, before the time and after it; then one of them is deleted."""
    url = backups.server.url
    engine = create_async_engine(url)
    tenants = {slug: await TenantRepository(engine).create_tenant(slug) for slug in ("acme", "bob")}
    await engine.dispose()
    for tenant in tenants.values():
        await write(url, tenant, f"{tenant.slug}:backed up")
    backup = await asyncio.to_thread(backups.take)
    for tenant in tenants.values():
        await write(url, tenant, f"{tenant.slug}:in the log")
    await write(url, tenants["bob"], "bob:of a user", "forget me")
    [row] = await query(url, "SELECT clock_timestamp()::text AS time")
    await write(url, tenants["bob"], "bob:too late")
    await query(url, "DELETE FROM agentflow_threads WHERE tenant_id = $1", tenants["acme"].tenant_id)
    return tenants, backup, row["time"]


def _tombstones(tenants: dict[str, Tenant]) -> str:
    """Of the tenant that left, and of a user of the other one who was forgotten."""
    now, bob = datetime.now(UTC), tenants["bob"].tenant_id
    digest = hashlib.sha256(bob.bytes + b"user:" + b"forget me").digest()
    return written(
        [
            Tombstone(tenants["acme"].tenant_id, None, now, uuid.uuid4()),
            Tombstone(bob, digest, now, uuid.uuid4()),
        ]
    )


def test_a_restore_to_a_time(backups: Backups) -> None:
    """The services refuse to serve from it until the tombstones are applied; then all is as it should be."""
    databases.migrate(backups.server.url)
    tenants, backup, time = databases.run(_story(backups))
    archive_all(backups.server)
    url = backups.restore(backup, time)
    there = ["acme:backed up", "acme:in the log", "bob:backed up", "bob:in the log", "bob:of a user"]
    assert databases.run(threads(url)) == there
    [before] = databases.run(query(url, "SELECT instance_id FROM agentflow_instance"))

    async def is_refused() -> None:
        engine = create_async_engine(databases.app_url(url))
        with pytest.raises(UnappliedTombstonesError, match="apply-tombstones"):
            await check_restored(engine)
        await engine.dispose()

    databases.run(is_refused())
    api = Api(url, None)
    with pytest.raises(RuntimeError, match="the API ended with 1"):
        api.start()
    with worker_on(url) as worker:
        says(worker, "No work yet")
        _apply(backups, url, tenants, is_refused)
        says(worker, "The worker runs")
    [after] = databases.run(query(url, "SELECT instance_id FROM agentflow_instance"))
    assert after["instance_id"] != before["instance_id"]
    api.start(path="/health/ready")
    try:
        assert api.tenant("carol").tenant.slug == "carol"
    finally:
        api.stop()
    # The server that the backup was taken of goes on, as if nothing had been.
    assert "bob:too late" in databases.run(threads(backups.server.url))


def test_services_that_ran_all_the_while(backups: Backups, redis_url: str) -> None:
    """The database behind them is restored: they serve nobody, then as if nothing had been since."""
    server = backups.server
    databases.migrate(server.url)
    with running_api(server.url, redis_url) as api, worker_on(server.url) as worker:
        says(worker, "The worker runs")
        acme, bob = api.tenant("acme"), api.tenant("bob")
        with api.client(acme) as of_acme, api.client(bob) as of_bob:
            for client in (of_acme, of_bob):
                assert client.post("/v1/graph/invoke", json=say("My name is Alex.")).status_code == 200
            backup = backups.take()
            [row] = databases.run(query(server.url, "SELECT clock_timestamp()::text AS time"))
            # Of the time that is lost: it is in Redis, and in the process's memory.
            assert of_bob.post("/v1/graph/invoke", json=say("My name is Kim.")).status_code == 200
            assert "Kim" in last_text(of_bob.post("/v1/graph/invoke", json=say("What's my name?")))
            archive_all(server)
            pids, port = api.pids(), server.port
            server.stop()
            url = backups.restore(backup, row["time"], port=port)

            for client in (of_acme, of_bob, of_acme, of_bob):
                refused = client.get("/v1/threads/t/messages")
                assert (refused.status_code, refused.headers.get("retry-after")) == (503, "1")
                assert client.post("/v1/graph/invoke", json=say("late", "new")).status_code == 503
            assert httpx.get(f"{api.base_url}/health/ready").status_code == 503
            assert databases.run(threads(url)) == ["tenant-acme:t", "tenant-bob:t"], "nothing was written"

            file = backups.folder.parent / "tombstones.jsonl"
            gone = Tombstone(acme.tenant.tenant_id, None, datetime.now(UTC), uuid.uuid4())
            file.write_text(written([gone]))
            done = command(url, "restore", "apply-tombstones", str(file))
            assert done.returncode == 0, done.stderr

            assert of_acme.get("/v1/threads/t/messages").status_code == 410
            assert len(of_bob.get("/v1/threads/t/messages").json()["data"]["messages"]) == 2
            # As many versions as the lost time had, by another process.
            with (
                running_api(url, redis_url, AGENTFLOW_KEY_PEPPER=api.pepper) as other,
                other.client(bob) as client,
            ):
                for text in ("My name is Lee.", "What's my name?"):
                    assert client.post("/v1/graph/invoke", json=say(text)).status_code == 200
            kept = of_bob.get("/v1/threads/t/messages").text
            assert ("Alex" in kept, "Lee" in kept, "Kim" in kept) == (True, True, False)
            assert "Lee" in last_text(of_bob.post("/v1/graph/invoke", json=say("What's my name?")))
            assert (api.pids(), worker.poll()) == (pids, None), "they are the same processes"


def _apply(
    backups: Backups,
    url: str,
    tenants: dict[str, Tenant],
    is_refused: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """The doctor says what to do; half a file does nothing, a whole one does it, and once is enough."""
    examined = command(url, "doctor")
    assert examined.returncode == 1
    assert "apply-tombstones" in examined.stdout

    file = backups.folder.parent / "tombstones.jsonl"
    text = _tombstones(tenants)
    file.write_text(text[:-1])
    refused = command(url, "restore", "apply-tombstones", str(file))
    assert (refused.returncode, "cut off" in refused.stderr) == (1, True)
    databases.run(is_refused())

    file.write_text(text)
    done = command(url, "restore", "apply-tombstones", str(file))
    assert done.returncode == 0, done.stderr
    assert "may serve" in done.stdout
    assert databases.run(threads(url)) == ["bob:backed up", "bob:in the log"]
    # Nothing is left but the fence, against whoever is late.
    assert databases.run(rows_of(url, tenants["acme"].tenant_id)) == {"agentflow_placements": 1}
    with pytest.raises(TenantGoneError):
        databases.run(write(url, tenants["acme"], "acme:late"))
    again = command(url, "restore", "apply-tombstones", str(file))
    assert (again.returncode, "0 rows went" in again.stdout) == (0, True)
