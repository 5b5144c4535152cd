"""The API when Postgres is there and does not answer, or has no connection left to give."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentflow_embedded import EmbeddedPostgres
from tests.support import databases
from tests.support.api import last_text, running_api, say

pytestmark = [pytest.mark.own_server, pytest.mark.slow]


def test_a_frozen_postgres(own_postgres: EmbeddedPostgres, redis_url: str) -> None:
    """503 with Retry-After within the deadline, for many at once; fine once it moves, nothing doubled."""
    databases.migrate(own_postgres.url)
    with running_api(own_postgres.url, redis_url, AGENTFLOW_STORE_TIMEOUT_S="1") as api:
        tenant = api.tenant()
        with api.client(tenant) as client:
            assert client.post("/v1/graph/invoke", json=say("My name is Alex.")).status_code == 200

            def ask(i: int) -> tuple[int, str | None, float]:
                began = time.monotonic()
                response = client.post("/v1/graph/invoke", json=say(f"lost {i}", f"frozen-{i}"))
                return response.status_code, response.headers.get("retry-after"), time.monotonic() - began

            own_postgres.pause()
            with ThreadPoolExecutor(40) as pool:
                answers = list(pool.map(ask, range(40)))
            own_postgres.resume()
            assert {answer[:2] for answer in answers} == {(503, "1")}
            assert max(answer[2] for answer in answers) < 30
            assert "Alex" in last_text(client.post("/v1/graph/invoke", json=say("What's my name?")))
            assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) == 4


def test_more_requests_than_connections(migrated_database_url: str, redis_url: str) -> None:
    """They wait their turn; every one is served."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_POOL_SIZE="1") as api:
        tenant = api.tenant()
        with api.client(tenant) as client, ThreadPoolExecutor(40) as pool:
            sent = [
                pool.submit(client.post, "/a/echo/v1/graph/invoke", json=say("hi", f"t{i}"))
                for i in range(120)
            ]
            assert [answer.result().status_code for answer in sent] == [200] * 120
            assert len(client.get("/v1/threads?limit=1000").json()["data"]["threads"]) == 120
