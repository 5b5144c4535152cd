"""Moves over HTTP: asked for, watched, cancelled; and the partitions."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from agentflow_tenancy import TenantRepository
from agentflow_tenancy.moves import MovePolicy, Mover, OperationRepository
from agentflow_worker.move_planner import MovePlanner
from agentflow_worker.operation_runner import OperationRunner
from tests.integration.api.test_admin_tenants import TENANTS
from tests.support.api import Api, TenantKey, say
from tests.support.waiting import soon

_NO_REST = timedelta(0)


def work(api: Api, *, policy: MovePolicy | None = None) -> int:
    """What the worker does once; how many moves it asked for."""

    async def once() -> int:
        engine = create_async_engine(api.database_url, pool_size=5)
        operations = OperationRepository(engine)
        asked = 0
        if policy is not None:
            planner = MovePlanner(TenantRepository(engine), operations, policy, every_s=1, most_at_once=1000)
            asked = await planner.plan()
        runner = OperationRunner(operations, Mover(engine, settle_s=1.2), lease_s=5)
        while await runner.work_once():
            pass
        await engine.dispose()
        return asked

    return asyncio.run(once())


def test_a_tenant_is_moved_and_watched(api: Api, tenant: TenantKey) -> None:
    """202 with the operation; its progress; and the tenant goes on as if nothing were."""
    path = f"{TENANTS}/{tenant.tenant.slug}"
    with api.operator() as operator, api.client(tenant) as client:
        client.post("/v1/graph/invoke", json=say("My name is Alex.", "t"))
        before = client.get("/v1/threads/t/messages").json()["data"]
        asked = operator.post(f"{path}/placement", json={"placement": "dedicated", "reason": "large"})
        assert asked.status_code == 202
        operation = asked.json()["data"]["operation"]
        assert (operation["state"], operation["kind"], operation["from"]) == (
            "queued", "promote", tenant.tenant.placement,
        )  # fmt: skip
        again = operator.post(f"{path}/placement", json={"placement": "dedicated"}).json()["data"]
        assert again["operation"]["operation_id"] == operation["operation_id"]
        other = 1 if tenant.tenant.placement != 1 else 2
        assert operator.post(f"{path}/placement", json={"placement": other}).status_code == 409
        work(api)
        done = operator.get(f"/v1/admin/operations/{operation['operation_id']}").json()["data"]
        assert (done["state"], done["step"], done["progress"]["part"]) == ("done", "end", 1.0)
        assert done["progress"]["threads_moved"] == 1
        assert done["to"] >= 1000
        assert operator.get(path).json()["data"]["placement"] == done["to"]
        assert client.get("/v1/threads/t/messages").json()["data"] == before
        answer = client.post("/v1/graph/invoke", json=say("What's my name?", "t")).json()["data"]
        assert "Alex" in str(answer["messages"][-1])
        assert operator.post(f"{path}/placement", json={"placement": "dedicated"}).status_code == 409
        back = operator.post(f"{path}/placement", json={"placement": "pool"}).json()["data"]["operation"]
        assert back["kind"] == "demote"
        work(api)
        assert operator.get(path).json()["data"]["placement"] in range(1, 9)
        assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) == 4
        listed = operator.get("/v1/admin/operations", params={"tenant": tenant.tenant.slug, "limit": 1})
        page = listed.json()["data"]
        assert page["operations"][0]["operation_id"] == back["operation_id"]
        rest = operator.get(
            "/v1/admin/operations", params={"tenant": tenant.tenant.slug, "cursor": page["next_cursor"]}
        )
        assert [one["operation_id"] for one in rest.json()["data"]["operations"]] == [
            operation["operation_id"]
        ]


def test_a_move_is_cancelled(api: Api, tenant: TenantKey) -> None:
    """Before it began, at once; an ended one no more."""
    with api.operator() as operator:
        path = f"{TENANTS}/{tenant.tenant.slug}/placement"
        operation = operator.post(path, json={"placement": "dedicated"}).json()["data"]["operation"]
        cancel = f"/v1/admin/operations/{operation['operation_id']}/cancel"
        assert operator.post(cancel).json()["data"]["state"] == "cancelled"
        assert operator.post(cancel).status_code == 409
        assert operator.post(f"/v1/admin/operations/{uuid.uuid4()}/cancel").status_code == 404


NOWHERE: list[dict[str, Any]] = [
    {}, {"placement": 0}, {"placement": 1000}, {"placement": "x"}, {"placement": None},
    {"placement": "pool", "reason": "x" * 501}, {"placement": 1, "to": 1},
]  # fmt: skip


@pytest.mark.parametrize("body", NOWHERE)
def test_what_is_no_place_is_refused(api: Api, tenant: TenantKey, body: dict[str, Any]) -> None:
    with api.operator() as operator:
        assert operator.post(f"{TENANTS}/{tenant.tenant.slug}/placement", json=body).status_code == 422
        assert operator.post(f"{TENANTS}/missing/placement", json={"placement": "pool"}).status_code == 404
        for query in ({"state": "gone"}, {"cursor": "zzz"}, {"limit": -1}):
            assert operator.get("/v1/admin/operations", params=query).status_code == 422
        assert operator.get("/v1/admin/operations/x").status_code == 404


def test_the_policy_moves_who_is_large_and_who_is_small_again(api: Api) -> None:
    """With the reason; partitions tell their sizes and who would move."""
    large = api.tenant()
    with api.operator() as operator, api.client(large) as client:
        for number in range(6):
            client.post("/a/echo/v1/graph/invoke", json=say("hello", f"t{number}"))
        policy = MovePolicy(threads=5, cooldown=_NO_REST)
        assert work(api, policy=policy) >= 1
        moved = operator.get(f"{TENANTS}/{large.tenant.slug}").json()["data"]
        assert moved["placement"] >= 1000
        listed = operator.get("/v1/admin/operations", params={"tenant": large.tenant.slug}).json()["data"]
        assert listed["operations"][0]["requested_by"] == "policy"
        assert "threads" in listed["operations"][0]["reason"]
        found = operator.get("/v1/admin/partitions").json()["data"]
        own = next(one for one in found["partitions"] if one["placement"] == moved["placement"])
        assert (own["kind"], own["tenants"]) == ("dedicated", 1)
        assert own["size_bytes"] > 0
        assert {one["placement"] for one in found["partitions"]} > set(range(1, 9))
        for number in range(6):
            client.delete(f"/v1/threads/t{number}")
        soon(lambda: client.get("/v1/threads").json()["data"]["threads"] == [])
        work(api, policy=MovePolicy(threads=50, bytes=10**9, cooldown=_NO_REST))
        assert operator.get(f"{TENANTS}/{large.tenant.slug}").json()["data"]["placement"] < 1000
