"""A stream's run gets its thread while its record is being made, and stores nothing before it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest

from agentflow_tenancy import Tenant
from tests.support.api import say
from tests.support.limited_app import LimitedApp, limited_app

# The framework's next major version wants parameters marked.
pytestmark = pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")

STREAM = "/a/echo/v1/graph/stream"
WITHIN_S = 30
WAITING = """SELECT count(*) FROM pg_locks
             WHERE relation = 'agentflow_runs'::regclass AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


@pytest.fixture
async def api(migrated_database_url: str, redis_url: str) -> AsyncIterator[LimitedApp]:
    async with limited_app(migrated_database_url, redis_url) as running:
        yield running


@pytest.fixture
async def owner(migrated_database_url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(migrated_database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@asynccontextmanager
async def no_records(owner: Any) -> AsyncIterator[None]:
    """For the length of a block no run's record can be made; those that are there can be read."""
    async with owner.transaction():
        await owner.execute("LOCK TABLE agentflow_runs IN SHARE MODE")
        yield


async def until_one_waits(owner: Any) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await owner.fetchval(WAITING):  # noqa: ASYNC110 - nobody else tells
            await asyncio.sleep(0.01)


async def is_stored(api: LimitedApp, client: httpx.AsyncClient) -> bool:
    """Whether the client's thread is there."""
    who = await api.authenticator.authenticate(client.headers["authorization"].removeprefix("Bearer "))
    return await api.wiring.store.get_thread(who.scope, who.stored_id("t")) is not None


async def until_held(api: LimitedApp, tenant: Tenant) -> None:
    """Until somebody holds a thread of the tenant: Redis has a key for it."""
    assert api.wiring.redis is not None
    async with asyncio.timeout(WITHIN_S):
        while not await api.wiring.redis.keys(f"af:{{{tenant.tenant_id.hex}:*"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def runs(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get("/v1/runs")).json()["data"]["runs"]
    return found


async def test_no_input_before_its_run(api: LimitedApp, owner: Any) -> None:
    """A process that dies in between leaves a run without its input, and never an input without its run."""
    tenant, client = await api.tenant()
    async with no_records(owner):
        asked = asyncio.create_task(client.post(STREAM, json=say("hi", "t")))
        await until_one_waits(owner)
        await until_held(api, tenant)
        assert not await is_stored(api, client)
        assert not await runs(client)
        assert not asked.done()
    answer = await asked
    assert answer.status_code == 200, answer.text
    assert [run["status"] for run in await runs(client)] == ["success"]
    assert await is_stored(api, client)


async def test_a_record_that_cannot_be_made(migrated_database_url: str, redis_url: str, owner: Any) -> None:
    """Is a stream that did not begin: 503, no input, and its thread is free."""
    async with limited_app(migrated_database_url, redis_url, store_timeout_s=1) as api:
        _, client = await api.tenant()
        async with no_records(owner):
            refused = await client.post(STREAM, json=say("hi", "t"))
            assert refused.status_code == 503, refused.text
            assert not await is_stored(api, client)
        assert not await runs(client)
        config = {"thread_id": "t", "when_busy": "reject"}
        answer = await client.post(STREAM, json=say("hi", "t") | {"config": config})
        assert answer.status_code == 200, answer.text
        assert '"is_new_thread":true' in answer.text.splitlines()[0]


async def test_refused_before_its_record_is_there(api: LimitedApp, owner: Any) -> None:
    """It leaves none behind, and its key is free."""
    _, client = await api.tenant()
    body = say("", "t") | {"messages": [], "resume": "yes"}
    async with no_records(owner):
        asked = asyncio.create_task(client.post(STREAM, json=body, headers={"idempotency-key": "k"}))
        await until_one_waits(owner)
    refused = await asked
    assert refused.status_code == 409, refused.text
    assert not await runs(client)


async def test_the_process_stops_meanwhile(api: LimitedApp, owner: Any) -> None:
    """The run is put back once there is a record of it: another process goes on, with its input."""
    _, client = await api.tenant()
    async with no_records(owner):
        asked = asyncio.create_task(client.post(STREAM, json=say("hi", "t")))
        await until_one_waits(owner)
        await api.wiring.executor.stop()
        assert not await runs(client)
    async with asyncio.timeout(WITHIN_S):
        while [run["status"] for run in await runs(client)] != ["pending"]:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.01)
    put_back = await owner.fetchrow("SELECT holder, attempts, input FROM agentflow_runs")
    assert put_back["holder"] is None
    assert put_back["attempts"] == 1
    assert '"hi"' in put_back["input"]
    assert not await is_stored(api, client)
    asked.cancel()
    await asyncio.wait([asked])
