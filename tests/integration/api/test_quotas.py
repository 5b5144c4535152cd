"""Quotas over HTTP: header fields, cheap refusals that say what to do, runs within budgets, usage."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentflow_tenancy import THREADS_READ
from tests.support.agents import pipes
from tests.support.api import say
from tests.support.limited_app import OPERATOR, LimitedApp, limited_app

# The framework's next major version wants parameters marked.
pytestmark = pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")


@pytest.fixture
async def api(migrated_database_url: str, redis_url: str) -> AsyncIterator[LimitedApp]:
    async with limited_app(migrated_database_url, redis_url) as running:
        yield running


async def run(
    client: httpx.AsyncClient, text: str = "hi", thread: str | None = None, agent: str = "echo"
) -> Any:
    return await client.post(f"/a/{agent}/v1/graph/invoke", json=say(text, thread))


def refused_by(response: httpx.Response) -> str:
    """The quota that a 429 names, after a look at everything else that belongs to one."""
    assert response.status_code == 429, response.text
    body = response.json()
    assert body["error"]["code"] == "QUOTA_EXCEEDED"
    assert body["metadata"]["request_id"] == response.headers["x-request-id"]
    detail = body["error"]["details"][0]
    assert detail["loc"] == ["quota", detail["quota"]]
    assert detail["type"] == "quota_exceeded"
    assert detail["msg"]
    assert int(response.headers["retry-after"]) >= 1
    assert f'"{detail["quota"]}";r=0' in response.headers["ratelimit"]
    assert f'"{detail["quota"]}";q={detail["limit"]}' in response.headers["ratelimit-policy"]
    quota: str = detail["quota"]
    return quota


async def test_answers_say_what_is_left(api: LimitedApp) -> None:
    """On success too, as structured fields; a tenant without limits and public routes say nothing."""
    _, client = await api.tenant(requests_per_minute=60, burst=10, concurrent_runs=3, tokens_per_day=1000)
    listed = await client.get("/v1/threads")
    assert listed.headers["ratelimit"] == '"requests";r=9;t=1'
    assert listed.headers["ratelimit-policy"] == '"requests";q=60;w=60'
    ran = await run(client)
    assert ran.status_code == 200
    left = ran.headers["ratelimit"].split(", ")
    assert left[0] == '"requests";r=8;t=2'
    assert left[1] == '"concurrent-runs";r=2'
    assert left[2].startswith('"tokens-per-day";r=1000;t=')
    assert ran.headers["ratelimit-policy"].split(", ") == [
        '"requests";q=60;w=60',
        '"concurrent-runs";q=3;qu="concurrent-requests"',
        '"tokens-per-day";q=1000;w=86400',
    ]
    _, free = await api.tenant()
    for response in (await run(free), await client.get("/ping")):
        assert response.status_code == 200
        assert "ratelimit" not in response.headers


async def test_too_many_requests(api: LimitedApp) -> None:
    """429 before the body is looked at; neighbours do not notice; a higher limit holds within a second."""
    tenant, client = await api.tenant(requests_per_minute=1, burst=2)
    _, neighbour = await api.tenant(requests_per_minute=60, burst=50)
    assert [(await client.get("/v1/threads")).status_code for _ in range(3)] == [200, 200, 429]
    assert refused_by(await client.get("/v1/threads")) == "requests"
    junk = await client.post("/v1/graph/invoke", content=b"{" * 5_000_000)
    assert refused_by(junk) == "requests"
    assert (await neighbour.get("/v1/threads")).status_code == 200
    assert (await client.get("/ping")).status_code == 200
    api.limit(tenant, requests_per_minute=60, burst=50)
    async with asyncio.timeout(30):
        while (await client.get("/v1/threads")).status_code == 429:  # noqa: ASYNC110 - asked as clients do
            await asyncio.sleep(0.05)  # until the refusal is forgotten


async def test_a_credential_is_asked_for_before_its_quota(api: LimitedApp) -> None:
    """Who is nobody takes nothing, and a refused tenant's neighbour is not mistaken for it."""
    _, client = await api.tenant(requests_per_minute=1, burst=1)
    nobody = api.client({"Authorization": "Bearer no-key"})
    for _ in range(3):
        assert (await nobody.get("/v1/threads")).status_code == 401
        assert (await api.client({}).get("/v1/threads")).status_code == 401
    assert (await client.get("/v1/threads")).status_code == 200
    assert (await client.get("/v1/threads")).status_code == 429
    assert (await nobody.get("/v1/threads")).status_code == 401


async def test_runs_at_the_same_time(api: LimitedApp, tmp_path: Path) -> None:
    """The second is refused while the first one runs, and let in after it; reading goes on."""
    _, client = await api.tenant(concurrent_runs=1)
    running, go = pipes(tmp_path)
    first = asyncio.create_task(run(client, f"{running}|{go}", "t", agent="waits"))
    await asyncio.to_thread(running.read_text)
    assert refused_by(await run(client)) == "concurrent-runs"
    assert (await client.get("/v1/threads")).status_code == 200
    await asyncio.to_thread(go.write_text, "go")
    assert (await first).status_code == 200
    assert (await run(client)).status_code == 200


async def test_a_failed_run_gives_its_place_back(api: LimitedApp) -> None:
    """Whatever ends it: a bad body, a node that raises."""
    _, client = await api.tenant(concurrent_runs=1)
    for _ in range(3):
        assert (await client.post("/v1/graph/invoke", json={})).status_code == 422
        assert (await run(client, agent="breaks")).status_code == 500
    assert (await run(client)).status_code == 200


async def test_threads_that_are_kept(api: LimitedApp) -> None:
    """No new one beyond the limit, also of many at once; old ones go on; deleting one makes room."""
    _, client = await api.tenant(threads=3)
    answers = await asyncio.gather(*(run(client, thread=f"t{i}") for i in range(10)))
    made = [i for i, answer in enumerate(answers) if answer.status_code == 200]
    assert len(made) == 3
    assert {refused_by(answer) for answer in answers if answer.status_code != 200} == {"threads"}
    assert (await run(client, thread=f"t{made[0]}")).status_code == 200
    assert refused_by(await run(client, thread="another")) == "threads"
    assert (await client.delete(f"/v1/threads/t{made[0]}")).status_code == 200
    assert (await run(client, thread="another")).status_code == 200


async def test_a_days_tokens(api: LimitedApp) -> None:
    """A run that uses them up stops at its next node, its state saved; the next is refused till tomorrow."""
    tenant, client = await api.tenant(tokens_per_day=42)
    stopped = await run(client, thread="t", agent="spends")
    assert stopped.status_code == 429
    assert stopped.json()["error"]["code"] == "TOKEN_BUDGET_EXCEEDED"
    assert int(stopped.headers["retry-after"]) >= 1
    state = (await client.get("/v1/threads/t/state")).json()["data"]["state"]
    assert [message["role"] for message in state["context"]] == ["user", "assistant"]
    assert refused_by(await run(client, thread="t", agent="spends")) == "tokens-per-day"
    api.limit(tenant, tokens_per_day=1000)
    resumed = await client.post(
        "/a/spends/v1/graph/invoke", json={"messages": [], "resume": None, "config": {"thread_id": "t"}}
    )
    assert resumed.status_code == 200


async def test_a_client_cannot_bring_its_own_budget(api: LimitedApp) -> None:
    """The tenant's holds, whatever the request's config says."""
    _, client = await api.tenant(tokens_per_day=42)
    body = say("hi", "t")
    body["config"]["token_budget"] = 10**9
    assert (await client.post("/a/spends/v1/graph/invoke", json=body)).status_code == 429


async def test_what_is_accepted_is_what_is_counted(api: LimitedApp) -> None:
    """Many at once with refusals: usage, by hour and day, of one and of all, is the sum of the answers."""
    _, client = await api.tenant(requests_per_minute=60, burst=25, concurrent_runs=8, threads=5)
    _, other = await api.tenant()
    answers = await asyncio.gather(
        *(run(client, thread=f"t{i % 7}", agent="spends") for i in range(60)),
        *(run(other, thread=f"t{i}", agent="spends") for i in range(5)),
    )
    mine = [answer for answer in answers[:60] if answer.status_code == 200]
    assert {answer.status_code for answer in answers} == {200, 429}
    new = sum(answer.json()["data"]["meta"]["is_new_thread"] for answer in mine)
    api.authenticator.limits.clear()
    for granularity in ("hour", "day"):
        used = (await client.get("/v1/usage", params={"granularity": granularity})).json()["data"]
        assert used["total"]["runs"] == len(mine)
        assert used["total"]["checkpoints"] == 3 * len(mine)
        assert (used["total"]["tokens_in"], used["total"]["tokens_out"]) == (60 * len(mine), 24 * len(mine))
        assert used["total"]["threads"] == used["kept"]["threads"] == new
        assert used["total"]["stored_bytes"] == used["kept"]["stored_bytes"] > 0
        assert sum(bucket["runs"] for bucket in used["buckets"]) == len(mine)
    pages = []
    after: str | None = ""
    while after is not None:
        page = (
            await api.client(OPERATOR).get("/v1/admin/usage", params={"after": after, "limit": 1})
        ).json()["data"]
        pages += page["tenants"]
        after = page["next"]
    assert sorted(one["runs"] for one in pages) == sorted([len(mine), 5])


async def test_the_operator_reads_a_tenants_usage(api: LimitedApp) -> None:
    """The same that the tenant reads, what it spent today beside its limits; nobody else does."""
    tenant, client = await api.tenant()
    changes = {"limits": {"tokens_per_day": 1000}}
    await api.client(OPERATOR).patch(f"/v1/admin/tenants/{tenant.slug}", json=changes)
    assert (await run(client, thread="t", agent="spends")).status_code == 200
    path = f"/v1/admin/tenants/{tenant.slug}/usage"
    span = {"granularity": "hour"}
    found = (await api.client(OPERATOR).get(path, params=span)).json()["data"]
    assert found.pop("limits")["tokens_per_day"] == 1000
    own = (await client.get("/v1/usage", params=span)).json()["data"]
    assert found == {name: value for name, value in own.items() if name != "limits"}
    assert found["today"] == {"tokens": 84, "checkpoints": 3}
    assert (await client.get(path)).status_code == 403
    missing = path.replace(tenant.slug, "missing")
    assert (await api.client(OPERATOR).get(missing)).status_code == 404
    assert (await api.client(OPERATOR).get(path, params={"granularity": "week"})).status_code == 422


async def test_who_may_read_usage(api: LimitedApp) -> None:
    """The tenant with its scope; all tenants' the operator alone."""
    _, powerless = await api.tenant(scopes=[THREADS_READ])
    assert (await powerless.get("/v1/usage")).status_code == 403
    _, client = await api.tenant()
    assert (await client.get("/v1/usage")).status_code == 200
    assert (await client.get("/v1/admin/usage")).status_code == 403
    assert (await api.client({}).get("/v1/admin/usage")).status_code == 401


@pytest.mark.parametrize(
    "asked",
    [
        {"granularity": "minute"},
        {"from": "yesterday"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2020-01-01", "to": "2026-01-01"},
        {"from": "0001-01-01T00:00:00+14:00"},
        {"to": "9999-12-31T23:59:59-12:00"},
        {"granularity": "hour", "from": "2026-01-01", "to": "2026-06-01"},
    ],
)
async def test_times_that_are_none(api: LimitedApp, asked: dict[str, str]) -> None:
    """422 that names the parameter."""
    _, client = await api.tenant()
    answer = await client.get("/v1/usage", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["loc"][0] in asked


async def test_whole_hours(api: LimitedApp) -> None:
    """The hour that `from` is in, and the one that `to` is in, belong."""
    _, client = await api.tenant()
    await run(client)
    now = datetime.now(UTC).isoformat()
    used = (await client.get("/v1/usage", params={"from": now, "to": now})).json()
    assert used["data"]["total"]["runs"] in (0, 1)  # 0: a new hour began in between
    assert datetime.fromisoformat(used["data"]["from"]).minute == 0
    assert datetime.fromisoformat(used["data"]["to"]).minute == 0


async def test_a_full_queue(migrated_database_url: str, redis_url: str, tmp_path: Path) -> None:
    """A tenant that floods the process is told to come back; its neighbour is served."""
    async with limited_app(migrated_database_url, redis_url, requests_at_once=2) as api:
        _, client = await api.tenant()
        _, neighbour = await api.tenant()
        answers = await asyncio.gather(*(run(client, thread=f"t{i}") for i in range(300)), run(neighbour))
        statuses = [answer.status_code for answer in answers[:300]]
        assert statuses.count(503) > 0
        assert statuses.count(200) >= 200
        assert set(statuses) == {200, 503}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert refused.json()["error"]["code"] == "OVERLOADED"
        assert refused.headers["retry-after"]
        assert answers[300].status_code == 200
