"""Ways around quotas, over HTTP: what a hostile tenant, an unlucky one or a browser would try."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from agentflow_api.http.admission import lent_run
from agentflow_api.http.idempotency import Effect
from agentflow_api.runs.service import Wanted, start
from agentflow_hosting.invoke_request import StreamRequest
from agentflow_hosting.runs import RunRecord
from tests.support.agents import pipes
from tests.support.api import say
from tests.support.limited_app import LimitedApp, limited_app

# The framework's next major version wants parameters marked.
pytestmark = pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")

ORIGIN = "https://app.example"


@pytest.fixture
async def api(migrated_database_url: str, redis_url: str) -> AsyncIterator[LimitedApp]:
    async with limited_app(migrated_database_url, redis_url, cors_origins=(ORIGIN,)) as running:
        yield running


async def test_a_browser_can_read_every_refusal(api: LimitedApp) -> None:
    """Also those that are not routed: without the fields of its origin a page cannot see `Retry-After`."""
    _, client = await api.tenant(requests_per_minute=1, burst=1)
    client.headers["origin"] = ORIGIN
    for status in (200, 429, 429, 429):
        answer = await client.get("/v1/threads")
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "retry-after" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"].lower()
    client.headers["origin"] = "https://other.example"
    assert "access-control-allow-origin" not in (await client.get("/v1/threads")).headers


async def test_a_key_has_no_more_than_its_tenant(api: LimitedApp) -> None:
    """Whatever its maker asks for: else who may make keys has no limits."""
    _, client = await api.tenant(threads=1, concurrent_runs=3, tokens_per_day=42)
    made = await client.post(
        "/v1/keys", json={"name": "wide", "limits": {"threads": 10**9, "tokens_per_day": 10**9}}
    )
    assert made.status_code == 201, made.text
    wide = api.client({"Authorization": f"Bearer {made.json()['data']['api_key']}"})
    assert (await wide.post("/a/echo/v1/graph/invoke", json=say("hi", "t1"))).status_code == 200
    refused = await wide.post("/a/echo/v1/graph/invoke", json=say("hi", "t2"))
    assert refused.status_code == 429
    assert refused.json()["error"]["details"][0]["quota"] == "threads"
    assert (await wide.post("/a/spends/v1/graph/invoke", json=say("hi", "t1"))).status_code == 429
    limits = (await wide.get("/v1/usage")).json()["data"]["limits"]
    assert limits == {"threads": 1, "concurrent_runs": 3, "tokens_per_day": 42}


async def test_an_exhausted_budget_keeps_its_idempotency_key(api: LimitedApp) -> None:
    """The run was begun: another try goes on with it, and says nothing a second time."""
    tenant, client = await api.tenant(tokens_per_day=42)
    key = {"idempotency-key": "once"}
    body = say("hi", "t")
    stopped = await client.post("/a/spends/v1/graph/invoke", json=body, headers=key)
    assert stopped.json()["error"]["code"] == "TOKEN_BUDGET_EXCEEDED"
    api.limit(tenant, tokens_per_day=1000)
    again = await client.post("/a/spends/v1/graph/invoke", json=body, headers=key)
    assert again.status_code == 200, again.text
    messages = (await client.get("/v1/threads/t/messages")).json()["data"]["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "assistant"]
    used = (await client.get("/v1/usage")).json()["data"]["total"]
    assert used["runs"] == 1


async def test_every_change_that_is_stored_asks_for_room(api: LimitedApp) -> None:
    """Clearing, mending and taking messages out write checkpoints, too."""
    tenant, client = await api.tenant()
    assert (await client.post("/a/echo/v1/graph/invoke", json=say("hi", "t"))).status_code == 200
    message = (await client.get("/v1/threads/t/messages")).json()["data"]["messages"][0]["message_id"]
    before = (await client.get("/v1/usage")).json()["data"]["total"]["checkpoints"]
    api.limit(tenant, checkpoints_per_day=before)
    answers = [
        await client.request("DELETE", "/v1/threads/t/state"),
        await client.request("DELETE", f"/v1/threads/t/messages/{message}"),
        await client.post("/v1/graph/fix", json={"thread_id": "t"}),
        await client.put("/v1/threads/t/state", json={"state": {}}),
    ]
    assert [answer.status_code for answer in answers] == [429] * 4
    assert (await client.get("/v1/usage")).json()["data"]["total"]["checkpoints"] == before


async def test_background_runs_of_who_has_no_room(api: LimitedApp) -> None:
    """Are refused at once, not stored to fail later."""
    tenant, client = await api.tenant(tokens_per_day=0)
    refused = await client.post("/v1/threads/t/runs", json=say("hi", "t"))
    assert refused.status_code == 429, refused.text
    api.limit(tenant, stored_bytes=0)
    refused = await client.post("/v1/threads/t/runs", json=say("hi", "t"))
    assert refused.status_code == 429, refused.text
    api.limit(tenant, concurrent_runs=0)
    waits = await client.post("/v1/threads/t/runs", json=say("hi", "t"))
    assert waits.status_code == 202, waits.text


async def test_forks_and_copies_in_usage(api: LimitedApp) -> None:
    """Nothing runs: they keep threads and bytes, and are no runs."""
    _, client = await api.tenant()
    assert (await client.post("/a/echo/v1/graph/invoke", json=say("hi", "t"))).status_code == 200
    assert (
        await client.post("/v1/threads/t/fork", json={"checkpoint": 1, "to_thread": "f"})
    ).status_code == 201
    assert (await client.post("/v1/threads/t/fork", json={"checkpoint": 1})).status_code == 200
    assert (await client.post("/v1/threads/t/copy", json={"to_thread": "c"})).status_code == 201
    copied = await client.post("/v1/threads/t/copy", json={"to_thread": "l", "with_history": False})
    assert copied.status_code == 201
    used = (await client.get("/v1/usage")).json()["data"]
    assert used["total"]["runs"] == 1
    assert used["kept"]["threads"] == 4


async def test_messages_that_are_added_are_counted_at_once(api: LimitedApp) -> None:
    """Threads begun by hand are threads, also of many at once; what a client claims is no spending."""
    _, client = await api.tenant(threads=3, tokens_per_day=100)
    message = say("hi")["messages"][0] | {
        "role": "assistant",
        "usages": {"prompt_tokens": 10**9, "total_tokens": 10**9},
    }
    answers = [
        (await client.post(f"/v1/threads/t{i}/messages", json={"messages": [message]})).status_code
        for i in range(5)
    ]
    assert answers == [200, 200, 200, 429, 429]
    used = (await client.get("/v1/usage")).json()["data"]
    assert used["kept"]["threads"] == 3
    assert (used["total"]["tokens_in"], used["total"]["runs"]) == (0, 0)
    assert (await client.delete("/v1/threads/t0")).status_code == 200
    many = await asyncio.gather(
        *(client.post(f"/v1/threads/n{i}/messages", json={"messages": [message]}) for i in range(8))
    )
    assert [answer.status_code for answer in many].count(200) == 1


async def status(client: httpx.AsyncClient) -> str:
    """Of the tenant's newest run."""
    newest: str = (await client.get("/v1/runs")).json()["data"]["runs"][0]["status"]
    return newest


async def test_who_goes_away_before_a_run_begins(api: LimitedApp, tmp_path: Path) -> None:
    """It is counted until it ends, though nobody listens: else sockets that close run for nothing."""
    _, client = await api.tenant(concurrent_runs=2)
    running, go = pipes(tmp_path)
    first = asyncio.create_task(client.post("/a/waits/v1/graph/invoke", json=say(f"{running}|{go}", "t")))
    await asyncio.to_thread(running.read_text)
    who = await api.authenticator.authenticate(client.headers["authorization"].removeprefix("Bearer "))
    asked = StreamRequest.model_validate(say("hi", "t"))

    async def ask() -> RunRecord:
        async with lent_run(who, api.wiring) as budget:
            return await start(api.wiring, who, Wanted("echo", "t", asked, Effect(uuid.uuid4())), budget)

    second = asyncio.create_task(ask())
    async with asyncio.timeout(30):
        while not (await client.get("/v1/runs")).json()["data"]["runs"]:  # noqa: ASYNC110 - as clients do
            await asyncio.sleep(0.01)  # until it waits for the thread
    second.cancel()
    await asyncio.wait([second])
    refused = await client.post("/a/echo/v1/graph/invoke", json=say("hi", "other"))
    assert refused.status_code == 429
    await asyncio.to_thread(go.write_text, "go")
    assert (await first).status_code == 200
    async with asyncio.timeout(30):
        while await status(client) != "success":  # noqa: ASYNC110 - asked as clients do
            await asyncio.sleep(0.01)  # until it has had its turn
    for other in ("other", "third"):
        assert (await client.post("/a/echo/v1/graph/invoke", json=say("hi", other))).status_code == 200


async def test_slow_statements_of_one_tenant(migrated_database_url: str, redis_url: str) -> None:
    """They never hold all connections to the database: a neighbour is answered while they wait."""
    async with limited_app(
        migrated_database_url, redis_url, pool_size=4, requests_at_once=4, store_timeout_s=40
    ) as api:
        tenant, client = await api.tenant()
        _, neighbour = await api.tenant()
        for who in (client, neighbour):
            assert (await who.post("/a/echo/v1/graph/invoke", json=say("hi", "t"))).status_code == 200
        locking = await asyncpg.connect(migrated_database_url.replace("+asyncpg", "", 1))
        try:
            async with locking.transaction():
                row = "SELECT FROM agentflow_threads WHERE tenant_id = $1 FOR UPDATE"
                await locking.execute(row, tenant.tenant_id)
                slow = [
                    asyncio.create_task(client.patch("/v1/threads/t", json={"thread_name": "x"}))
                    for _ in range(20)
                ]
                await until_waiting(locking)
                for _ in range(30):
                    assert (await neighbour.get("/v1/threads/t")).status_code == 200
            statuses = [answer.status_code for answer in await asyncio.gather(*slow)]
            assert set(statuses) <= {200, 503}  # who waits for long is told to come back
        finally:
            await locking.close()


async def until_waiting(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Until several wait for locks."""
    waiting = (
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    )
    async with asyncio.timeout(30):
        while await connection.fetchval(waiting) < 2:  # noqa: ASYNC110 - Postgres does not tell
            await asyncio.sleep(0.01)
