"""Every route there is, with every kind of credential: generated from the service's own document."""

import json
import secrets
import uuid
from typing import Any

import httpx
import pytest
from redis import Redis

from agentflow_tenancy import ALL_SCOPES
from tests.support.api import Api, TenantKey, say
from tests.support.waiting import soon

PUBLIC = {
    "/ping", "/health/ready", "/.well-known/jwks.json", "/openapi.json",
    "/.well-known/receipts-jwks.json", "/receipts/{receipt_id}", "/downloads",
}  # fmt: skip
OPERATORS = "/v1/admin/"
# What takes an id of something that belongs to a tenant, and how it is said that there is none.
OWNED = ("{thread_id}", "{key_id}", "{issuer_id}", "{export_id}")
# What this deployment has nothing behind.
NOT_CONFIGURED = ("/v1/store", "/v1/files", "/v1/config")
# What each route asks for: the first that fits.
NEEDS = (
    ("POST", "/v1/threads/{thread_id}/runs", "graph:invoke"),
    ("", "/v1/runs", "threads:read"),
    *(("", prefix, "graph:invoke") for prefix in NOT_CONFIGURED),
    ("GET", "/v1/threads", "threads:read"),
    ("POST", "/v1/threads/search", "threads:read"),
    ("GET", "/v1/observability", "threads:read"),
    ("", "/v1/threads", "threads:write"),
    ("", "/v1/graph", "graph:invoke"),
    ("", "/v1/keys", "keys:admin"),
    ("", "/v1/usage", "usage:read"),
    ("", "/v1/issuers", "tenant:admin"),
    ("", "/v1/audit", "tenant:admin"),
    ("", "/v1/tenant/", "tenant:admin"),
    ("", "/v1/exports", "tenant:admin"),
    ("", "/v1/imports", "tenant:admin"),
    ("", "/v1/webhook-secret", "tenant:admin"),
)
METHODS = ("get", "post", "put", "patch", "delete")


def routes(api: Api) -> list[tuple[str, str]]:
    with api.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    return sorted((method.upper(), path) for path, of in paths.items() for method in of if method in METHODS)


def tenants_routes(api: Api) -> list[tuple[str, str]]:
    """Those that ask for a scope; every key may mint tokens that can do no more than itself."""
    return [
        (method, path)
        for method, path in routes(api)
        if path not in PUBLIC and not path.startswith(OPERATORS) and path != "/v1/tokens"
    ]


def need(method: str, path: str) -> str:
    for of_method, prefix, scope in NEEDS:
        if path.startswith(prefix) and of_method in ("", method):
            return scope
    raise AssertionError(f"{method} {path}: say in this test which scope it asks for")


def filled(path: str, value: str = "x") -> str:
    for name in (
        "thread_id", "key_id", "issuer_id", "named", "operation_id", "offboarding_id", "receipt_id",
        "export_id", "import_id",
    ):  # fmt: skip
        path = path.replace(f"{{{name}}}", value)
    for name in ("memory_id", "file_id", "message_id"):
        path = path.replace(f"{{{name}}}", "x")
    path = path.replace("{seq}", "1").replace("{run_id}", str(uuid.uuid4()))
    assert "{" not in path, f"{path}: say in this test what to fill in"
    return path


@pytest.fixture(scope="module")
def revoked(api: Api) -> str:
    """The key of a tenant that it no longer has."""
    tenant = api.tenant()
    with api.client(tenant) as client:
        new = client.post("/v1/keys", json={}).json()["data"]
        assert client.delete(f"/v1/keys/{new['key']['key_id']}").status_code == 200
    with api.with_key(new["api_key"]) as client:
        soon(lambda: client.get("/v1/threads").status_code == 401)
    key: str = new["api_key"]
    return key


@pytest.fixture(scope="module")
def victim(api: Api) -> tuple[TenantKey, str]:
    """A tenant whose every text holds a word that nobody else may ever see."""
    canary = f"canary{secrets.token_hex(8)}"
    tenant = api.tenant(f"{canary[:20]}")
    with api.client(tenant) as client:
        body = say(f"The secret is {canary}.", canary)
        body["config"] |= {"thread_name": canary, "thread_metadata": {"of": canary}}
        assert client.post("/a/echo/v1/graph/invoke", json=body).status_code == 200
        assert client.post("/v1/keys", json={"name": canary}).status_code == 201
        issuer = {"issuer": f"https://{canary}.example", "audience": canary, "scopes": ["threads:read"]}
        assert client.post(
            "/v1/issuers", json={**issuer, "jwks_uri": f"https://{canary}.example/j"}
        ).is_success
        assert client.post("/v1/exports", json={"thread_id": canary}).status_code == 202
    return tenant, canary


def test_the_document_names_every_route(api: Api) -> None:
    """What is served and not in it would not be tested here."""
    found = routes(api)
    assert len(found) > 25
    assert {path for _, path in found} > {"/v1/threads", "/v1/keys", "/v1/admin/tenants", "/v1/graph/invoke"}


def test_nobody_gets_in(api: Api, revoked: str) -> None:
    """Without a key, with one that is none, and with a revoked one: 401, and the same words for any id."""
    for method, path in routes(api):
        if path in PUBLIC:
            continue
        for key in (None, "x", "af_live_x_y_z", revoked, "a.b.c"):
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            answers = []
            for value in ("x", "y"):
                answer = httpx.request(
                    method, api.base_url + filled(path, value), headers=headers, json={}, timeout=30
                )
                answers.append(answer.json()["error"])
                allowed = {401, 403} if path.startswith(OPERATORS) and key else {401}
                assert answer.status_code in allowed, (method, path, key)
            assert answers[0] == answers[1]


def test_a_key_without_scopes_may_do_nothing(api: Api) -> None:
    """But mint tokens that may do as little."""
    with api.client(api.tenant(scopes=())) as client:
        for method, path in routes(api):
            if path in PUBLIC or path == "/v1/tokens":
                continue
            assert client.request(method, filled(path), json={}).status_code == 403, (method, path)


@pytest.mark.parametrize("scope", ALL_SCOPES)
def test_a_route_asks_for_one_scope(api: Api, scope: str) -> None:
    """That one alone opens it, and nothing does without it: whatever else a key may do."""
    others = [other for other in ALL_SCOPES if other != scope]
    with api.client(api.tenant(scopes=[scope])) as only, api.client(api.tenant(scopes=others)) as rest:
        for method, path in tenants_routes(api):
            needed = need(method, path) == scope
            opened = only.request(method, filled(path), json={})
            assert (opened.status_code != 403) == needed, (method, path, opened.text)
            if needed:
                refused = rest.request(method, filled(path), json={})
                assert refused.status_code == 403, (method, path)
                assert scope in refused.json()["error"]["message"]


def test_who_may_is_let_in(api: Api, tenant: TenantKey) -> None:
    """The right credential on every route: what is there, or what is wrong with the request, and no 5xx."""
    with api.client(tenant) as client, api.operator() as operator:
        assert client.post("/v1/graph/invoke", json=say("hi", "x")).status_code == 200
        for method, path in sorted(routes(api), key=lambda route: route[0] == "DELETE"):
            mine = client if not path.startswith(OPERATORS) else operator
            answer = mine.request(method, filled(path), json={})
            if path.startswith(NOT_CONFIGURED):
                assert answer.status_code == 503
                continue
            if path == "/downloads":  # without a link
                assert answer.status_code == 410
                continue
            assert answer.status_code in {200, 201, 202, 404, 422}, (method, path, answer.text)
            if method == "GET" and "{" not in path.replace("{thread_id}", ""):
                assert answer.status_code == 200, (method, path, answer.text)


def test_the_operators_routes_are_the_operators(api: Api, tenant: TenantKey) -> None:
    """A tenant's key opens none of them, whatever it may do; and the operator's token no tenant's."""
    with api.client(tenant) as client, api.operator() as operator:
        for method, path in routes(api):
            if path in PUBLIC:
                continue
            other = client if path.startswith(OPERATORS) else operator
            assert other.request(method, filled(path), json={}).status_code == 403, (method, path)


def test_what_is_anothers_is_missing(api: Api, victim: tuple[TenantKey, str], tenant: TenantKey) -> None:
    """Each route that takes an id answers a foreign one and a missing one alike, but for the id itself."""
    owner, canary = victim
    with api.client(owner) as theirs:
        ids = {
            "{thread_id}": (canary, "z" * len(canary)),
            "{key_id}": (theirs.get("/v1/keys").json()["data"]["keys"][0]["key_id"], "0" * 12),
            "{issuer_id}": (
                theirs.get("/v1/issuers").json()["data"]["issuers"][0]["issuer_id"],
                "00000000-0000-0000-0000-000000000000",
            ),
            "{export_id}": (
                theirs.get("/v1/exports").json()["data"]["exports"][0]["export_id"],
                "00000000-0000-0000-0000-000000000000",
            ),
        }
    tried = 0
    with api.client(tenant) as mine:
        for method, path in routes(api):
            for name in OWNED:
                if name not in path or path.startswith(OPERATORS):
                    continue
                foreign, missing = (
                    mine.request(method, filled(path.replace(name, one)), json={}) for one in ids[name]
                )
                assert foreign.status_code == missing.status_code, (method, path)
                assert foreign.status_code in {404, 422}
                assert foreign.json()["error"] == missing.json()["error"]
                tried += 1
    assert tried >= 8
    with api.client(owner) as theirs:
        assert theirs.get(f"/v1/threads/{canary}").status_code == 200
        assert len(theirs.get("/v1/keys").json()["data"]["keys"]) == 2
        assert len(theirs.get("/v1/issuers").json()["data"]["issuers"]) == 1


def test_nothing_of_another_tenant_is_ever_seen(
    api: Api, victim: tuple[TenantKey, str], tenant: TenantKey, redis_url: str
) -> None:
    """In no answer, header or error of any route, in any search; nor in a name of a key in Redis."""
    owner, canary = victim
    needles = [canary, owner.tenant.slug, str(owner.tenant.tenant_id), owner.tenant.tenant_id.hex]
    queries: list[dict[str, Any]] = [
        {}, {"search": "%"}, {"search": canary[:6]}, {"search": "'"}, {"limit": 1000}, {"offset": 1},
        {"tenant": owner.tenant.slug}, {"tenant_id": str(owner.tenant.tenant_id)},
    ]  # fmt: skip
    with api.client(tenant) as mine:
        mine.post("/v1/graph/invoke", json=say("What is the secret?", "mine"))
        for method, path in routes(api):
            if path.startswith(OPERATORS) or method == "DELETE":
                continue
            for query in queries if method == "GET" else queries[:1]:
                answer = mine.request(method, filled(path, "mine"), params=query, json={})
                seen = answer.text + json.dumps(dict(answer.headers))
                assert not any(needle in seen for needle in needles), (method, path, query)
    redis = Redis.from_url(redis_url)
    try:
        names = list(redis.scan_iter("*", count=1000))
        assert not any(canary.encode() in name for name in names)
        own = [name for name in names if tenant.tenant.tenant_id.hex.encode() in name]
        kinds = {name: redis.type(name) for name in own}
        for name, kind in kinds.items():
            held = redis.lrange(name, 0, -1) if kind == b"list" else redis.dump(name)
            assert canary.encode() not in repr(held).encode()
    finally:
        redis.close()
