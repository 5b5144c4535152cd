"""How far a token reaches, and what ends it."""

import asyncio
from base64 import urlsafe_b64encode
from typing import Any

import asyncpg
import jwt
import pytest

from agentflow_api.http.gatekeeper import Gatekeeper
from agentflow_tenancy import CredentialError, Principal, TenantSuspendedError
from tests.integration.api.test_tokens import minted, part, status_with
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.jwks_server import jwks_server
from tests.support.limited_app import LimitedApp, limited_app
from tests.support.waiting import soon


def epoch_raised(api: Api, tenant: TenantKey) -> None:
    """What a move does to a tenant's epoch."""

    async def raise_it() -> None:
        connection = await asyncpg.connect(api.database_url.replace("+asyncpg", ""))
        try:
            statement = "UPDATE agentflow_tenants SET epoch = epoch + 1 WHERE tenant_id = $1"
            await connection.execute(statement, tenant.tenant.tenant_id)
        finally:
            await connection.close()

    asyncio.run(raise_it())


def test_a_users_token_administers_nothing(api: Api, tenant: TenantKey) -> None:
    """Whatever its key may do: it would make keys that see every user's threads, and outlive itself."""
    with api.client(tenant) as client:
        answer = client.post("/v1/tokens", json={"user_id": "mallory"}).json()["data"]
        assert set(answer["scopes"]) == {"threads:read", "threads:write", "graph:invoke"}
        for scope in ("keys:admin", "tenant:admin", "usage:read"):
            asked = {"user_id": "mallory", "scopes": ["threads:read", scope]}
            assert client.post("/v1/tokens", json=asked).status_code == 403
        key_id = client.get("/v1/keys").json()["data"]["keys"][0]["key_id"]
    with api.with_key(answer["token"]) as mallory:
        for method, path in (
            ("POST", "/v1/keys"),
            ("GET", "/v1/keys"),
            ("POST", f"/v1/keys/{key_id}/rotate"),
            ("DELETE", f"/v1/keys/{key_id}"),
            ("POST", "/v1/issuers"),
            ("GET", "/v1/issuers"),
            ("GET", "/v1/audit"),
            ("GET", "/v1/usage"),
            ("POST", "/v1/tokens"),
        ):
            assert mallory.request(method, path, json={}).status_code == 403, (method, path)


def test_no_token_administers(api: Api, tenant: TenantKey) -> None:
    """Not even one of no user: what it made would not end with it."""
    with api.client(tenant) as client:
        answer = client.post("/v1/tokens").json()["data"]
        assert set(answer["scopes"]) == {"threads:read", "threads:write", "graph:invoke", "usage:read"}
        assert client.post("/v1/tokens", json={"scopes": ["keys:admin"]}).status_code == 403
    assert status_with(api, answer["token"], "/v1/usage") == 200
    assert status_with(api, answer["token"], "/v1/keys") == 403


def test_a_suspension_ends_tokens_for_good(api: Api) -> None:
    """403 while it lasts; afterwards the key mints anew."""
    tenant = api.tenant()
    token = minted(api, tenant)
    with api.operator() as operator:
        operator.post(f"/v1/admin/tenants/{tenant.tenant.slug}/suspend")
        soon(lambda: status_with(api, token) == 403)
        operator.post(f"/v1/admin/tenants/{tenant.tenant.slug}/resume")
    soon(lambda: status_with(api, tenant.key) == 200)
    assert status_with(api, token) == 401
    assert status_with(api, minted(api, tenant)) == 200


def test_a_move_ends_no_token(api: Api, tenant: TenantKey) -> None:
    """It raises the tenant's epoch while the tenant works on."""
    token = minted(api, tenant)
    before = status_with(api, token)
    epoch_raised(api, tenant)
    with api.operator() as operator:
        path = f"/v1/admin/tenants/{tenant.tenant.slug}"
        assert operator.get(path).json()["data"]["epoch"] == tenant.tenant.epoch + 1
    soon(lambda: status_with(api, minted(api, tenant)) == 200)
    assert before == status_with(api, token) == 200


def test_a_new_signing_key_is_known_at_once(api: Api) -> None:
    """To a replica that has just read the keys, too; and one of another deployment never is."""
    replica = Api(api.database_url, None, AGENTFLOW_KEY_PEPPER=api.pepper)
    replica.start()
    try:
        tenant = api.tenant()
        assert status_with(replica, minted(api, tenant)) == 200
        with api.operator() as operator:
            assert operator.post("/v1/admin/signing-keys/rotate").status_code == 201
        token = minted(api, tenant)
        assert status_with(replica, token) == 200
        kid = jwt.get_unverified_header(token)["kid"]
        with replica.client() as nobody:
            listed = nobody.get("/.well-known/jwks.json").json()["keys"]
        assert kid in {key["kid"] for key in listed}
    finally:
        replica.stop()


def test_another_deployments_token(api: Api, migrated_database_url: str) -> None:
    """Even of a tenant and a key with the same ids."""
    with running_api(migrated_database_url, None) as other:
        assert status_with(api, minted(other, other.tenant())) == 401


def test_nobody_is_asked_for_keys(api: Api, tenant: TenantKey) -> None:
    """An address in a token's header, of keys or certificates, is not gone to."""
    token = minted(api, tenant)
    header, (_, claims, signature) = jwt.get_unverified_header(token), token.split(".")
    with jwks_server() as attacker:
        for name in ("jku", "x5u"):
            forged = f"{part({**header, name: attacker.url + '/keys'})}.{claims}.{signature}"
            assert status_with(api, forged) == 401
        assert attacker.asked == []


def test_tokens_that_cannot_be_read(api: Api) -> None:
    """Nested, endless, or full of numbers: 401 like all others."""
    deep = "[" * 3000 + "]" * 3000
    for text in (deep, '{"iss":' + deep + "}", '{"iss":1e999}', '{"iss":' + "9" * 5000 + "}", "\ud800", "{}"):
        raw = text.encode(errors="replace")
        middle = urlsafe_b64encode(raw).decode().rstrip("=")
        assert status_with(api, f"{part({'alg': 'ES256', 'kid': 'k' * 16})}.{middle}.AAAA") == 401
        assert status_with(api, f"{middle}.{middle}.AAAA") == 401


def test_users_of_one_tenant_share_nothing(api: Api, tenant: TenantKey) -> None:
    """A thread of another user is answered like a missing one on every route, and in no list or search."""
    alice, bob = (minted(api, tenant, user_id=name) for name in ("alice", "bob"))
    with api.with_key(alice) as hers, api.with_key(bob) as his:
        assert hers.post("/v1/graph/invoke", json=say("A secret of Alice.", "hers")).status_code == 200
        for method, path in (("GET", ""), ("GET", "/state"), ("GET", "/messages"), ("DELETE", "")):
            foreign, missing = (his.request(method, f"/v1/threads/{name}{path}") for name in ("hers", "none"))
            assert foreign.status_code == missing.status_code == 404
            assert foreign.json()["error"] == missing.json()["error"]
        for query in ({}, {"search": "hers"}, {"search": "secret"}, {"limit": 1000}):
            assert his.get("/v1/threads", params=query).json()["data"]["threads"] == []
        for user in ({"user_id": "alice"}, {"user": {"user_id": "alice"}}, {"scope": {"principal": "alice"}}):
            body = say("Who am I?", "mine")
            body["config"] |= user
            assert his.post("/v1/graph/invoke", json=body).status_code == 200
        assert "secret" not in his.get("/v1/threads/mine/state").text
        made = his.get("/v1/threads/mine").json()["data"]["thread_data"]["thread"]
        assert made["user_id"] == "bob"
        assert len(hers.get("/v1/threads").json()["data"]["threads"]) == 1


async def let_in(app: LimitedApp, **asked: Any) -> Principal:
    _, client = await app.tenant()
    async with client:
        key = client.headers["Authorization"].split()[1]
        if not asked:
            return await app.wiring.authenticator.authenticate(key)
        answer = await client.post("/v1/tokens", json=asked)
        return await app.wiring.tokens.authenticate(answer.json()["data"]["token"])


@pytest.mark.filterwarnings("ignore::litestar.exceptions.LitestarDeprecationWarning")
@pytest.mark.parametrize("asked", [{}, {"user_id": "alice"}], ids=["key", "token"])
@pytest.mark.parametrize("over", ["suspended", "resumed", "revoked"])
async def test_an_open_answer_ends(migrated_database_url: str, asked: dict[str, Any], over: str) -> None:
    """Though nothing is sent: the tenant was suspended, also when only for a moment, or the key revoked."""
    async with limited_app(migrated_database_url, None) as app:
        principal = await let_in(app, **asked)
        tokens = app.wiring.tokens
        keeper, shut = Gatekeeper(tokens.recheck), asyncio.Event()
        with keeper.opened(principal) as gate:
            gate.on_shut(shut.set)
            gate.check()
            await end(app, principal, over)
            expected = TenantSuspendedError if over == "suspended" else CredentialError
            async with asyncio.timeout(20):
                await shut.wait()
            with pytest.raises(expected):
                gate.check()
        await keeper.aclose()


async def end(app: LimitedApp, principal: Principal, over: str) -> None:
    tenant_id = principal.tenant.tenant_id
    if over == "revoked":
        assert await app.wiring.keys.revoke(tenant_id, principal.key_id)
    else:
        assert await app.wiring.repository.set_state(tenant_id, "suspended")
    if over == "resumed":
        assert await app.wiring.repository.set_state(tenant_id, "active")
