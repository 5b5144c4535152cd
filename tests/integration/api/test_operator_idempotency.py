"""The operator's keys: one effect and one answer for each POST under `/v1/admin`, and no secret stored."""

import asyncio
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import pytest

from agentflow_hosting.idempotency import OPERATOR
from tests.support.api import Api, TenantKey

TENANTS = "/v1/admin/tenants"
# What a process leaves that dies between the effect and keeping its answer.
DIED = """
UPDATE agentflow_idempotency SET status = NULL, body = NULL, held_until = now() - interval '1 second'
WHERE tenant_id = $1 AND key = $2 AND status IS NOT NULL
"""
CALLS = ("tenant", "key", "rotate", "suspend", "resume", "placement", "cancel", "signing-key")


@pytest.fixture
def operator(api: Api) -> Iterator[httpx.Client]:
    with api.operator() as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"k-{secrets.token_hex(6)}"


def new_slug() -> str:
    return f"t-{secrets.token_hex(6)}"


def sent(operator: httpx.Client, key: str, path: str, body: Any = None) -> httpx.Response:
    return operator.post(path, json=body, headers={"idempotency-key": key})


def the_call(operator: httpx.Client, tenant: TenantKey, name: str) -> tuple[str, Any]:
    """Path and body of a POST that can be done once."""
    own = f"{TENANTS}/{tenant.tenant.slug}"
    match name:
        case "tenant":
            return TENANTS, {"slug": new_slug()}
        case "key":
            return f"{own}/keys", {"name": "ci"}
        case "rotate":
            made = operator.post(f"{own}/keys", json={}).json()["data"]
            return f"{own}/keys/{made['key']['key_id']}/rotate", {}
        case "placement":
            return f"{own}/placement", {"placement": "dedicated"}
        case "cancel":
            asked = operator.post(f"{own}/placement", json={"placement": "dedicated"}).json()["data"]
            return f"/v1/admin/operations/{asked['operation']['operation_id']}/cancel", None
        case "signing-key":
            return "/v1/admin/signing-keys/rotate", None
        case _:
            return f"{own}/{name}", None


def audited(operator: httpx.Client) -> list[Any]:
    entries: list[Any] = operator.get("/v1/admin/audit?limit=200").json()["data"]["entries"]
    return entries


async def asked(database_url: str, statement: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", "", 1))
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


@pytest.mark.parametrize("name", CALLS)
def test_repeated(api: Api, tenant: TenantKey, operator: httpx.Client, key: str, name: str) -> None:
    """The same answer byte for byte, marked; one effect; and nothing secret in what is kept."""
    path, body = the_call(operator, tenant, name)
    first = sent(operator, key, path, body)
    assert first.status_code in (200, 201, 202), first.text
    done = audited(operator)
    again = sent(operator, key, path, body)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert audited(operator) == done
    secret = first.json()["data"].get("api_key")
    kept = asyncio.run(
        asked(
            api.database_url,
            "SELECT k::text AS row FROM agentflow_idempotency k WHERE tenant_id = $1 AND key = $2",
            OPERATOR,
            key,
        )
    )
    assert len(kept) == 1
    if secret is not None:
        assert secret.split("_")[3] not in kept[0]["row"]
        with api.with_key(secret) as client:
            assert client.get("/v1/threads").status_code == 200


@pytest.mark.parametrize("name", CALLS)
def test_died_before_it_answered(
    api: Api, tenant: TenantKey, operator: httpx.Client, key: str, name: str
) -> None:
    """Who asks again gets what the first one made: the same tenant, keys, move; nothing is made twice."""
    path, body = the_call(operator, tenant, name)
    first = sent(operator, key, path, body)
    assert first.status_code in (200, 201, 202), first.text
    done = audited(operator)
    asyncio.run(asked(api.database_url, DIED, OPERATOR, key))
    again = sent(operator, key, path, body)
    assert (again.status_code, again.json()["data"]) == (first.status_code, first.json()["data"])
    assert audited(operator) == done
    assert sent(operator, key, path, body).content == again.content


def test_raced(operator: httpx.Client, key: str) -> None:
    """Many at once: one tenant, and all get its key."""
    body = {"slug": new_slug()}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: sent(operator, key, TENANTS, body), range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


def test_something_else_under_the_same_key(tenant: TenantKey, operator: httpx.Client, key: str) -> None:
    """422 for another body, and for another path."""
    assert sent(operator, key, TENANTS, {"slug": new_slug()}).status_code == 201
    for path, body in (
        (TENANTS, {"slug": new_slug()}),
        (f"{TENANTS}/{tenant.tenant.slug}/suspend", None),
    ):
        answer = sent(operator, key, path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_a_refusal_leaves_the_key_free(operator: httpx.Client, key: str) -> None:
    """What did nothing may be mended and sent again."""
    assert sent(operator, key, TENANTS, {"slug": "No"}).status_code == 422
    assert sent(operator, key, TENANTS, {"slug": new_slug(), "agents": ["nobody"]}).status_code == 422
    assert sent(operator, key, TENANTS, {"slug": new_slug()}).status_code == 201


def test_a_rotation_is_not_undone_by_an_old_one(api: Api, operator: httpx.Client, key: str) -> None:
    """A first rotation that is asked again, after a second one, does not sign with its key again."""
    first = sent(operator, key, "/v1/admin/signing-keys/rotate").json()["data"]["kid"]
    second = operator.post("/v1/admin/signing-keys/rotate").json()["data"]["kid"]
    asyncio.run(asked(api.database_url, DIED, OPERATOR, key))
    assert sent(operator, key, "/v1/admin/signing-keys/rotate").json()["data"]["kid"] == first
    signs = "SELECT kid FROM agentflow_signing_keys WHERE retired_at IS NULL"
    assert [row["kid"] for row in asyncio.run(asked(api.database_url, signs))] == [second]


def test_a_tenant_has_keys_of_its_own(tenant: TenantKey, api: Api, operator: httpx.Client, key: str) -> None:
    """The same text of a tenant and of the operator are two keys; a tenant's new API key is repeated too."""
    assert sent(operator, key, TENANTS, {"slug": new_slug()}).status_code == 201
    with api.client(tenant) as client:
        first = sent(client, key, "/v1/keys", {"name": "ci"})
        again = sent(client, key, "/v1/keys", {"name": "ci"})
    assert first.status_code == 201, first.text
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
