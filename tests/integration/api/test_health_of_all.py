"""`/v1/admin/health`: what answers, what waits, and what the doctor finds."""

from typing import Any

import httpx

from tests.support import databases
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.waiting import soon


def examined(client: httpx.Client) -> Any:
    """The answer, once the first look is over."""

    def asked() -> Any:
        answer = client.get("/v1/admin/health")
        assert answer.status_code == 200
        data = answer.json()["data"]
        return data if data["findings"] is not None else None

    return soon(asked, within_s=60)


def test_everything_is_well(api: Api, tenant: TenantKey) -> None:
    """For the operator alone; findings are those that the service's own login can make."""
    with api.client(tenant) as client:
        assert client.get("/v1/admin/health").status_code == 403
        assert client.post("/a/echo/v1/graph/invoke", json=say("hi", "t")).status_code == 200
    # Nobody works here: what two tenants queue waits, and row security hides none of it from the page.
    for whose in (tenant, api.tenant()):
        with api.client(whose) as client:
            assert client.post("/v1/threads/t/runs", json=say("later", "t")).status_code in (200, 201, 202)
    with api.operator() as client:
        found = examined(client)
    assert found["postgres"]["state"] == "ok"
    assert found["postgres"]["pool"]["size"] > 0
    assert found["redis"] == found["quotas"] == {"state": "ok"}
    assert found["modes"] == {"cache": False, "quotas": False}
    assert found["queue"]["waiting"] >= 2
    levels = {one["check"]: one["level"] for one in found["findings"]}
    assert {name for name, level in levels.items() if level == "error"} == set()
    assert levels["migrations"] == levels["row security"] == levels["role"] == "ok"
    assert levels["orphan rows"] == "warning"


def test_while_the_database_is_away(migrated_database_url: str, redis_url: str) -> None:
    """Answered with what is known: what cannot be looked at is a finding."""
    with running_api(migrated_database_url, redis_url) as api, api.operator() as client:
        assert client.get("/v1/admin/health").json()["data"]["postgres"]["state"] == "ok"
    gone = databases.url_of(migrated_database_url, databases.new_name("gone"))
    with running_api(gone, redis_url) as api, api.operator() as client:
        found = examined(client)
    assert found["postgres"]["state"] == "away"
    assert found["queue"] is None
    assert {one["level"] for one in found["findings"] if one["check"] == "migrations"} == {"error"}


def test_tenants_come_with_what_they_use(api: Api, tenant: TenantKey) -> None:
    """If that is asked for: what each keeps, and what it used within 30 days."""
    with api.client(tenant) as client:
        assert client.post("/a/echo/v1/graph/invoke", json=say("hi", "t")).status_code == 200
    with api.operator() as client:
        asked = {"search": tenant.tenant.slug}
        [plain] = client.get("/v1/admin/tenants", params=asked).json()["data"]["tenants"]
        assert "usage" not in plain
        [one] = client.get("/v1/admin/tenants", params={**asked, "include": "usage"}).json()["data"][
            "tenants"
        ]
        assert one["usage"]["kept"]["threads"] == 1
        assert one["usage"]["kept"]["stored_bytes"] > 0
        assert one["usage"]["last_30_days"]["runs"] == 1
        assert client.get("/v1/admin/tenants", params={"include": "all"}).status_code == 422
