"""The operator's tenants: making, listing, changing, suspending; and what is written down of it."""

import secrets
from typing import Any

import pytest

from tests.support.api import Api, TenantKey, say
from tests.support.waiting import soon

TENANTS = "/v1/admin/tenants"
BAD_SLUGS = [
    "A",
    "a_b",
    "a%b",
    "a\\b",
    "a:b",
    "",
    "-a",
    "a-",
    "x" * 41,
    "\N{CYRILLIC SMALL LETTER A}cme",
    "a\u200bb",
    "a b",
    "a\0",
    "\N{FULLWIDTH LATIN SMALL LETTER A}cme",
]


def new_slug() -> str:
    return f"t-{secrets.token_hex(6)}"


def test_a_tenant_is_made_with_its_first_key(api: Api) -> None:
    """The key is shown once, and works; all that was asked for is told back."""
    slug = new_slug()
    body = {"slug": slug, "name": "Acme", "plan": "free", "limits": {"threads": 7}, "retention_days": 30}
    with api.operator() as operator:
        made = operator.post(TENANTS, json=body)
        assert made.status_code == 201
        data = made.json()["data"]
        assert {key: data[key] for key in ("slug", "name", "plan", "retention_days")} == {
            key: body[key] for key in ("slug", "name", "plan", "retention_days")
        }
        assert data["limits"]["threads"] == 7
        assert data["limits"]["concurrent_runs"] == 5
        assert data["state"] == "active"
        for named in (slug, data["tenant_id"]):
            again = operator.get(f"{TENANTS}/{named}").json()["data"]
            assert again == {key: data[key] for key in again}
            assert data["api_key"] not in str(again)
        with api.with_key(data["api_key"]) as tenant:
            assert tenant.post("/v1/graph/invoke", json=say("hi")).status_code == 200
            assert tenant.get("/v1/keys").json()["data"]["keys"][0]["key_id"] == data["key"]["key_id"]
        assert operator.post(TENANTS, json=body).status_code == 409


@pytest.mark.parametrize("slug", BAD_SLUGS)
def test_slugs_that_would_mean_something_are_refused(api: Api, slug: str) -> None:
    with api.operator() as operator:
        answer = operator.post(TENANTS, json={"slug": slug})
        assert answer.status_code == 422
        assert set(answer.json()) == {"error", "metadata"}


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "gold"},
        {"limits": {"thread": 1}},
        {"limits": {"threads": -1}},
        {"limits": {"threads": 1e3}},
        {"limits": {"threads": "9" * 23}},
        {"agents": ["nobody"]},
        {"agents": ["echo"], "default_agent": "memory"},
        {"retention_days": 0},
        {"name": "a\nb"},
        {"placement": 7},
        {"scopes": ["root"]},
        {"slug": 7},
    ],
)
def test_what_cannot_be_is_refused(api: Api, change: dict[str, Any]) -> None:
    """With what is wrong, and nothing made."""
    slug = new_slug()
    with api.operator() as operator:
        answer = operator.post(TENANTS, json={"slug": slug, **change})
        assert answer.status_code == 422
        assert answer.json()["error"]["message"]
        assert operator.get(f"{TENANTS}/{slug}").status_code == 404


def test_pages_give_every_tenant_once(api: Api) -> None:
    """By slug; filters narrow, and a made-up cursor is refused."""
    mark = secrets.token_hex(4)
    slugs = sorted(f"{mark}-{i}" for i in range(5))
    with api.operator() as operator:
        for slug in slugs:
            assert operator.post(TENANTS, json={"slug": slug, "plan": "free"}).status_code == 201
        found: list[str] = []
        query: dict[str, Any] = {"search": mark, "limit": 2, "plan": "free", "state": "active"}
        while True:
            page = operator.get(TENANTS, params=query).json()["data"]
            found += [tenant["slug"] for tenant in page["tenants"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert found == slugs
        assert (
            operator.get(TENANTS, params={"search": mark, "plan": "standard"}).json()["data"]["tenants"] == []
        )
        placement = operator.get(f"{TENANTS}/{slugs[0]}").json()["data"]["placement"]
        at = operator.get(TENANTS, params={"search": mark, "placement": placement}).json()["data"]["tenants"]
        assert slugs[0] in [tenant["slug"] for tenant in at]
        bad: list[dict[str, Any]] = [
            {"limit": -1}, {"limit": "9" * 23}, {"cursor": "??"}, {"cursor": "Jw"}, {"cursor": "x" * 300},
            {"state": "gone"}, {"placement": "x"},
        ]  # fmt: skip
        for query in bad:
            assert operator.get(TENANTS, params=query).status_code == 422, query


def test_a_change_is_effective_within_a_second(api: Api, tenant: TenantKey) -> None:
    """What is not named stays; limits are replaced as a whole."""
    path = f"{TENANTS}/{tenant.tenant.slug}"
    with api.operator() as operator, api.client(tenant) as client:
        assert client.get("/v1/usage").json()["data"]["limits"] != {}
        changed = operator.patch(path, json={"plan": "unlimited", "limits": {"threads": 3}, "name": "New"})
        assert changed.status_code == 200
        soon(lambda: client.get("/v1/usage").json()["data"]["limits"] == {"threads": 3})
        assert operator.patch(path, json={"limits": None}).json()["data"]["limits"] == {}
        data = operator.patch(path, json={"agents": ["echo"], "default_agent": "echo"}).json()["data"]
        assert (data["name"], data["agents"], data["plan"]) == ("New", ["echo"], "unlimited")
        assert operator.patch(path, json={"agents": None}).json()["data"]["agents"] is None
        assert operator.patch(path, json={"name": None}).status_code == 422
        assert operator.patch(path, json={"slug": "other"}).status_code == 422
        assert operator.patch(f"{TENANTS}/missing", json={"name": "x"}).status_code == 404


def test_a_suspended_tenant_is_refused(api: Api, tenant: TenantKey) -> None:
    """403 with every key within a second, and everything there again after it is resumed."""
    path = f"{TENANTS}/{tenant.tenant.slug}"
    with api.operator() as operator, api.client(tenant) as client:
        assert client.post("/v1/graph/invoke", json=say("hi")).status_code == 200
        before = client.get("/v1/threads/t/state").json()["data"]
        for _ in range(2):
            assert operator.post(f"{path}/suspend").json()["data"]["state"] == "suspended"
        soon(lambda: client.get("/v1/threads").status_code == 403)
        for _ in range(2):
            assert operator.post(f"{path}/resume").json()["data"]["state"] == "active"
        soon(lambda: client.get("/v1/threads").status_code == 200)
        assert client.get("/v1/threads/t/state").json()["data"] == before
        assert operator.post(f"{TENANTS}/missing/suspend").status_code == 404


def test_who_may_use_the_operators_routes(api: Api, tenant: TenantKey) -> None:
    """Nobody without its token; its token opens no tenant's route."""
    routes = [
        ("POST", TENANTS), ("GET", TENANTS), ("GET", f"{TENANTS}/x"), ("PATCH", f"{TENANTS}/x"),
        ("POST", f"{TENANTS}/x/suspend"), ("POST", f"{TENANTS}/x/resume"), ("GET", f"{TENANTS}/x/keys"),
        ("POST", f"{TENANTS}/x/keys"), ("POST", f"{TENANTS}/x/keys/k/rotate"),
        ("DELETE", f"{TENANTS}/x/keys/k"),
        ("GET", "/v1/admin/audit"), ("GET", "/v1/admin/usage"), ("GET", f"{TENANTS}/x/usage"),
    ]  # fmt: skip
    with api.client() as nobody, api.client(tenant) as client, api.operator() as operator:
        for method, path in routes:
            assert nobody.request(method, path).status_code == 401, path
            assert nobody.request(method, path, headers={"Authorization": "Bearer x"}).status_code == 401
            assert client.request(method, path).status_code == 403, path
        for path in ("/v1/threads", "/v1/keys", "/v1/usage", "/v1/audit"):
            answer = operator.get(path)
            assert answer.status_code == 403
            assert "operator's token" in answer.json()["error"]["message"]


def test_every_change_is_written_down(api: Api) -> None:
    """Who, what, when, from where; without secrets; a tenant sees its own only."""
    slug, other = new_slug(), api.tenant()
    with api.operator() as operator:
        answer = operator.post(TENANTS, json={"slug": slug}, headers={"x-request-id": "req-1"})
        assert answer.headers["x-request-id"] == answer.json()["metadata"]["request_id"] == "req-1"
        made = answer.json()["data"]
        changed = operator.patch(f"{TENANTS}/{slug}", json={"plan": "free"}, headers={"x-request-id": "a b"})
        operator.post(f"{TENANTS}/{slug}/suspend")
        operator.post(f"{TENANTS}/{slug}/resume")
        with api.with_key(made["api_key"]) as client:
            soon(lambda: client.get("/v1/keys").status_code == 200)
            second = client.post("/v1/keys", json={"name": "second"}).json()["data"]
            client.delete(f"/v1/keys/{second['key']['key_id']}")
            entries = client.get("/v1/audit").json()["data"]["entries"]
        assert [entry["action"] for entry in reversed(entries)] == [
            "tenant.create", "key.create", "tenant.change", "tenant.suspend", "tenant.resume",
            "key.create", "key.revoke",
        ]  # fmt: skip
        assert entries[0]["actor"] == f"key:{made['key']['key_id']}"
        assert entries[-1]["actor"] == "operator"
        assert entries[-1]["address"] == "127.0.0.1"
        assert entries[-1]["request_id"] == entries[-2]["request_id"] == "req-1"
        assert entries[-3]["request_id"] == changed.headers["x-request-id"]
        assert {entry["target"] for entry in entries[-5:] if entry["action"].startswith("tenant.")} == {slug}
        assert made["api_key"] not in str(entries)
        of_tenant = operator.get("/v1/admin/audit", params={"tenant": slug}).json()["data"]["entries"]
        assert of_tenant == entries
        first = operator.get("/v1/admin/audit", params={"tenant": slug, "limit": 3}).json()["data"]
        rest = {"tenant": slug, "cursor": first["next_cursor"]}
        assert (
            first["entries"] + operator.get("/v1/admin/audit", params=rest).json()["data"]["entries"]
            == entries
        )
    with api.client(other) as client:
        assert slug not in client.get("/v1/audit").text
