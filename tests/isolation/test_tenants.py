"""No answer shows another tenant's data, or that it exists."""

from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey, say

ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "/v1/threads/{t}", None),
    ("GET", "/v1/threads/{t}/state", None),
    ("GET", "/v1/threads/{t}/messages", None),
    ("DELETE", "/v1/threads/{t}", {"config": {}}),
    ("GET", "/a/echo/v1/threads/{t}", None),
]
EVERY_ROUTE: list[tuple[str, str, Any]] = [
    *ROUTES,
    ("GET", "/v1/threads", None),
    ("GET", "/v1/graph", None),
    ("POST", "/v1/graph/invoke", say("x")),
]


def without_ids(response: httpx.Response) -> Any:
    """An answer but for what differs between any two."""
    body = response.json()
    del body["metadata"]["request_id"], body["metadata"]["timestamp"]
    headers = {
        name: value
        for name, value in response.headers.items()
        if name not in ("x-request-id", "x-timestamp", "date", "ratelimit")
    }
    return response.status_code, headers, body


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_foreign_thread_is_a_missing_one(api: Api, method: str, path: str, body: Any) -> None:
    """Byte for byte, on every route that takes an id; and the owner's thread is untouched."""
    owner, other = api.tenant(), api.tenant()
    with api.client(owner) as mine, api.client(other) as theirs:
        assert mine.post("/v1/graph/invoke", json=say("secret", "shared-id")).status_code == 200
        before = mine.get("/v1/threads/shared-id/state").json()["data"]
        foreign = theirs.request(method, path.format(t="shared-id"), json=body)
        missing = theirs.request(method, path.format(t="missing-i"), json=body)
        assert foreign.status_code == 404
        assert without_ids(foreign) == without_ids(missing)
        stored = theirs.request(method, path.format(t=f"tenant-{owner.tenant.slug}:shared-id"), json=body)
        assert stored.status_code == 404
        assert mine.get("/v1/threads/shared-id/state").json()["data"] == before


@pytest.mark.parametrize(("method", "path", "body"), EVERY_ROUTE)
def test_every_route_asks_for_a_credential(
    api: Api, tenant: TenantKey, method: str, path: str, body: Any
) -> None:
    """None, unknown, mistyped, malformed, two at once: 401 or 400, the same for any id."""
    url = path.format(t="x")
    wrong = tenant.key[:-1] + ("a" if tenant.key[-1] != "a" else "b")
    forged = api.tenant()
    cases: list[tuple[int, list[tuple[str, str]]]] = [
        (401, []),
        (401, [("Authorization", tenant.key)]),
        (401, [("Authorization", f"Basic {tenant.key}")]),
        (401, [("Authorization", "Bearer")]),
        (401, [("Authorization", f"Bearer {wrong}")]),
        (401, [("Authorization", f"Bearer {tenant.key[:-20]}")]),
        (400, [("Authorization", f"Bearer {tenant.key}"), ("Authorization", f"Bearer {forged.key}")]),
        (400, [("Authorization", f"Bearer {tenant.key}"), ("X-API-Key", forged.key)]),
    ]
    with api.client() as client:
        for status, headers in cases:
            response = client.request(method, url, json=body, headers=headers)
            assert response.status_code == status, headers
            assert response.json()["error"]["message"]
            assert tenant.key not in response.text
        doubled = client.request(method, url, json=body, headers=tenant.headers, params={"token": forged.key})
        assert doubled.status_code == 400


@pytest.mark.parametrize(("method", "path", "body"), EVERY_ROUTE)
def test_every_route_asks_for_its_scope(api: Api, method: str, path: str, body: Any) -> None:
    """A good key without the right is 403."""
    powerless = api.tenant(scopes=())
    with api.client(powerless) as client:
        assert client.request(method, path.format(t="x"), json=body).status_code == 403


def test_the_key_alone_names_the_tenant(api: Api) -> None:
    """A tenant named elsewhere in the request changes nothing."""
    owner, other = api.tenant(), api.tenant()
    slug = owner.tenant.slug
    with api.client(owner) as mine, api.client(other) as theirs:
        mine.post("/v1/graph/invoke", json=say("My name is Alex.", "t"))
        named = say("What's my name?", "t") | {"tenant": slug, "tenant_id": str(owner.tenant.tenant_id)}
        named["config"] |= {"tenant": slug, "tenant_id": str(owner.tenant.tenant_id), "placement": 1}
        answer = theirs.post(
            "/v1/graph/invoke",
            json=named,
            headers={"X-Tenant": slug, "X-Tenant-Id": slug},
            params={"tenant": slug},
        )
        assert answer.status_code == 200
        assert "Alex" not in answer.text
        assert answer.json()["data"]["meta"]["is_new_thread"] is True


def test_slugs_that_begin_alike(api: Api) -> None:
    """`a-1` and `a-10` share nothing, in lists, searches and deletes."""
    a1, a10 = api.tenant("a-1"), api.tenant("a-10")
    with api.client(a1) as one, api.client(a10) as ten:
        for client in (one, ten):
            client.post("/a/echo/v1/graph/invoke", json=say("hi", "0:t"))
            client.post("/a/echo/v1/graph/invoke", json=say("hi", "t"))
        before = ten.get("/v1/threads").json()["data"]
        assert one.delete("/v1/threads/0:t").status_code == 200
        assert one.delete("/v1/threads/t").status_code == 200
        assert one.get("/v1/threads").json()["data"]["threads"] == []
        assert ten.get("/v1/threads").json()["data"] == before


def test_a_revoked_key_is_refused_within_a_second(api: Api) -> None:
    """Also one that was just used and is remembered."""
    import asyncio
    import time

    from sqlalchemy.ext.asyncio import create_async_engine

    from agentflow_tenancy import KeyRepository

    tenant = api.tenant()

    async def revoke() -> None:
        engine = create_async_engine(api.database_url)
        key_id = tenant.key.split("_")[2]
        assert await KeyRepository(engine).revoke(tenant.tenant.tenant_id, key_id)
        await engine.dispose()

    with api.client(tenant) as client:
        assert client.get("/v1/threads").status_code == 200
        asyncio.run(revoke())
        revoked_at = time.monotonic()
        while client.get("/v1/threads").status_code != 401:
            assert time.monotonic() - revoked_at < 30, "never refused"
