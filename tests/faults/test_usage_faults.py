"""P10: what was counted is the work that was accepted, whatever was killed while it was done."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.api import Api, TenantKey, running, say
from tests.support.waiting import soon
from tests.support.worker import running_worker

pytestmark = pytest.mark.slow

KILLS = 4
TENANTS = 3
CLIENTS = 4
MOST_THREADS = 6
ANSWERS_BETWEEN_KILLS = 40

STORED = """
    SELECT count(*) AS checkpoints, count(*) FILTER (WHERE source = 'input') AS runs,
           count(DISTINCT thread_no) AS threads
      FROM agentflow_checkpoints WHERE tenant_id = $1
"""


class Answers:
    """What clients were told, of each tenant: runs that were accepted, and threads that were refused."""

    def __init__(self) -> None:
        self.accepted = [0] * TENANTS
        self.refused = [0] * TENANTS
        self.stop = threading.Event()
        self._came = threading.Condition()

    def note(self, tenant: int, response: httpx.Response) -> None:
        with self._came:
            if response.status_code == 200:
                self.accepted[tenant] += 1
            elif response.status_code == 429:
                assert response.json()["error"]["code"] == "QUOTA_EXCEEDED", response.text
                self.refused[tenant] += 1
            else:
                assert response.status_code in {409, 503}, response.text
            self._came.notify_all()

    def until_more(self, many: int) -> None:
        """Wait for so many further runs to be accepted."""
        with self._came:
            until = sum(self.accepted) + many
            assert self._came.wait_for(lambda: sum(self.accepted) >= until, 60), "nothing is accepted"


def limited(api: Api) -> TenantKey:
    """A tenant that may keep fewer threads than its clients ask for."""
    tenant = api.tenant()
    path = f"/v1/admin/tenants/{tenant.tenant.tenant_id}"
    changes = {"plan": "unlimited", "limits": {"threads": MOST_THREADS}}
    with api.operator() as operator, api.client(tenant) as client:
        assert operator.patch(path, json=changes).status_code == 200
        soon(lambda: client.get("/v1/usage").json()["data"]["limits"] == {"threads": MOST_THREADS})
    return tenant


def ask(api: Api, tenant: TenantKey, number: int, answers: Answers, client_number: int) -> None:
    """Runs on more threads than there may be, until told to stop; a killed server is asked again."""
    with api.client(tenant) as client:
        for turn in count():
            if answers.stop.is_set():
                return
            thread = f"t{(turn + client_number) % (MOST_THREADS + 2)}"
            try:
                answers.note(number, client.post("/v1/graph/invoke", json=say("hello", thread)))
            except httpx.TransportError:
                continue


async def stored(database_url: str, tenants: list[TenantKey]) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    try:
        rows = [await connection.fetchrow(STORED, who.tenant.tenant_id) for who in tenants]
        return [dict(row) for row in rows if row is not None]
    finally:
        await connection.close()


def test_usage_is_the_work_over_kills(migrated_database_url: str, redis_url: str) -> None:
    """API processes die under load while a worker rolls up; the sums are those of what is stored, exactly."""
    answers = Answers()
    api = Api(migrated_database_url, redis_url)
    with running_worker(migrated_database_url, redis_url, AGENTFLOW_ROLL_UP_EVERY_S="0.2"), running(api):
        tenants = [limited(api) for _ in range(TENANTS)]
        with ThreadPoolExecutor(TENANTS * CLIENTS) as pool:
            asking = [
                pool.submit(ask, api, tenant, number, answers, client)
                for number, tenant in enumerate(tenants)
                for client in range(CLIENTS)
            ]
            try:
                for _ in range(KILLS):
                    answers.until_more(ANSWERS_BETWEEN_KILLS)
                    api.kill()
                    api.start()
                answers.until_more(ANSWERS_BETWEEN_KILLS)
            finally:
                answers.stop.set()
            for task in asking:
                task.result()
        found = asyncio.run(stored(migrated_database_url, tenants))
        for number, (tenant, rows) in enumerate(zip(tenants, found, strict=True)):
            with api.client(tenant) as client:
                usage = client.get("/v1/usage", params={"granularity": "hour"}).json()["data"]
            counted = {name: usage["total"][name] for name in ("checkpoints", "runs", "threads")}
            assert counted == rows
            assert usage["kept"]["threads"] == rows["threads"] <= MOST_THREADS
            assert answers.accepted[number] <= rows["runs"]
            assert answers.accepted[number] >= ANSWERS_BETWEEN_KILLS
        assert sum(answers.refused) > 0
