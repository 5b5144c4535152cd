"""The API when something is taken away under it."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from agentflow_embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support import databases
from tests.support.api import Api, TenantKey, last_text, running_api, say

pytestmark = [pytest.mark.own_server, pytest.mark.slow]

WITHIN_S = 30.0


def until(check: Callable[[], bool]) -> None:
    """Wait for something that must come true within the promised time."""
    deadline = time.monotonic() + WITHIN_S
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_api_has_lost_nothing(migrated_database_url: str, redis_url: str) -> None:
    """SIGKILL right after the answer; the next process goes on."""
    api = Api(migrated_database_url, redis_url)
    api.start()
    tenant = api.tenant()
    with api.client(tenant) as client:
        client.post("/v1/graph/invoke", json=say("My name is Alex."))
        api.kill()
    api.start()
    with api.client(tenant) as client:
        assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?")))
        assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) == 4
    assert api.stop() == 0


def test_postgres_goes_and_comes_back(own_postgres: EmbeddedPostgres, redis_url: str) -> None:
    """503 with Retry-After in bounded time while it is away; by itself fine afterwards; nothing lost."""
    databases.migrate(own_postgres.url)
    with running_api(own_postgres.url, redis_url) as api:
        tenant = api.tenant()
        with api.client(tenant) as client:
            client.post("/v1/graph/invoke", json=say("My name is Alex."))
            own_postgres.kill()
            requests: list[Callable[[], httpx.Response]] = [
                lambda: client.get("/health/ready"),
                lambda: client.get("/v1/threads"),
                lambda: client.post("/v1/graph/invoke", json=say("What's my name?")),
            ]
            for request in requests:
                response = request()
                assert response.status_code == 503
                assert int(response.headers["retry-after"]) >= 1
                assert response.json()["error"]["code"].startswith("TRANSIENT_STORAGE")
            assert client.get("/ping").status_code == 200
            own_postgres.start()
            until(lambda: client.get("/health/ready").status_code == 200)
            assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?")))


def test_redis_goes_and_comes_back(migrated_database_url: str, own_valkey: EmbeddedValkey) -> None:
    """Answers stay right; readiness says degraded, then ok again."""
    with running_api(migrated_database_url, own_valkey.url) as api:
        tenant = api.tenant()
        with api.client(tenant) as client:

            def redis() -> str:
                client.post("/v1/graph/invoke", json=say("hello", "probe"))
                state: dict[str, str] = client.get("/health/ready").json()["data"]
                return state["redis"] if state["redis"] == state["quotas"] else "neither"

            client.post("/v1/graph/invoke", json=say("My name is Alex."))
            own_valkey.kill()
            assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?")))
            assert redis() == "degraded"
            own_valkey.start()
            until(lambda: redis() == "ok")
            assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?")))


def test_two_apis_write_one_thread(migrated_database_url: str, redis_url: str) -> None:
    """Every accepted message is there once, in turns, whoever took it."""
    with running_api(migrated_database_url, redis_url) as one:
        two = Api(migrated_database_url, redis_url, AGENTFLOW_KEY_PEPPER=one.pepper)
        two.pepper = one.pepper
        two.start()
        try:
            tenant = one.tenant()
            with ThreadPoolExecutor(8) as pool:
                done = list(pool.map(lambda i: _invoke((one, two)[i % 2], tenant, f"m{i}"), range(40)))
            assert done == [200] * 40
            with one.client(tenant) as client:
                messages = client.get("/v1/threads/t/messages?limit=1000").json()["data"]["messages"]
            texts = [message["content"][0]["text"] for message in messages]
            assert len(texts) == 80
            assert sorted(texts[::2]) == sorted(f"m{i}" for i in range(40))
            assert texts[1::2] == [f"echo: {text}" for text in texts[::2]]
        finally:
            two.stop()


def _invoke(api: Api, tenant: TenantKey, text: str) -> int:
    with api.client(tenant) as client:
        return client.post("/a/echo/v1/graph/invoke", json=say(text)).status_code


async def test_a_client_that_leaves_frees_the_thread(migrated_database_url: str, redis_url: str) -> None:
    """A request cut by its client does not hold the thread against the next one."""
    api = Api(migrated_database_url, redis_url)
    await asyncio.to_thread(api.start)
    try:
        tenant = await asyncio.to_thread(api.tenant)
        async with httpx.AsyncClient(base_url=api.base_url, headers=tenant.headers) as client:
            for i in range(20):
                cut = asyncio.create_task(client.post("/a/echo/v1/graph/invoke", json=say(f"cut {i}")))
                await asyncio.sleep(0)
                cut.cancel()
                await asyncio.gather(cut, return_exceptions=True)
            response = await client.post("/a/echo/v1/graph/invoke", json=say("after"), timeout=60)
            assert last_text(response) == "echo: after"
    finally:
        await asyncio.to_thread(api.stop)
