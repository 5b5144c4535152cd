"""Tokens: what they may do, and what is refused."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.api import Api, TenantKey, running_api, say
from tests.support.waiting import soon


def minted(api: Api, tenant: TenantKey, **body: Any) -> str:
    with api.client(tenant) as client:
        answer = client.post("/v1/tokens", json=body)
    assert answer.status_code == 201, answer.text
    token: str = answer.json()["data"]["token"]
    return token


def status_with(api: Api, token: str, path: str = "/v1/threads") -> int:
    with api.with_key(token) as client:
        return client.get(path).status_code


def part(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def test_a_token_may_do_what_it_was_minted_for(api: Api, tenant: TenantKey) -> None:
    """And no more; it mints no others."""
    token = minted(api, tenant, scopes=["threads:read"])
    with api.with_key(token) as client:
        assert client.get("/v1/threads").status_code == 200
        assert client.post("/v1/graph/invoke", json=say("x")).status_code == 403
        assert client.post("/v1/tokens", json={}).status_code == 403
    with api.client(api.tenant(scopes=["threads:read"])) as poor:
        assert poor.post("/v1/tokens", json={"scopes": ["graph:invoke"]}).status_code == 403
        for body in ({"ttl_s": 301}, {"ttl_s": 0}, {"user_id": ""}, {"scopes": ["root"]}, {"user_id": "a\0"}):
            assert poor.post("/v1/tokens", json=body).status_code == 422


def test_a_users_token_sees_that_users_threads(api: Api, tenant: TenantKey) -> None:
    """Another user's thread is a missing one, on every route; the key sees both."""
    alice, bob = (minted(api, tenant, user_id=name) for name in ("alice", "bob"))
    with api.with_key(alice) as hers, api.with_key(bob) as his, api.client(tenant) as all_of_them:
        assert hers.post("/v1/graph/invoke", json=say("I am Alice.", "a")).status_code == 200
        assert his.post("/v1/graph/invoke", json=say("I am Bob.", "b")).status_code == 200
        assert [one["thread_id"] for one in his.get("/v1/threads").json()["data"]["threads"]] == ["b"]
        for path in ("/v1/threads/{}", "/v1/threads/{}/state", "/v1/threads/{}/messages"):
            foreign, missing = his.get(path.format("a")), his.get(path.format("z"))
            assert foreign.status_code == missing.status_code == 404
            assert foreign.json()["error"] == missing.json()["error"]
        assert his.delete("/v1/threads/a").status_code == 404
        assert his.post("/v1/graph/invoke", json=say("let me in", "a")).status_code == 404
        assert len(all_of_them.get("/v1/threads").json()["data"]["threads"]) == 2
        assert hers.get("/v1/threads/a").json()["data"]["thread_data"]["thread"]["user_id"] == "alice"


def test_what_signs_is_public(api: Api, tenant: TenantKey) -> None:
    """Anybody can check a token with the published keys; a new key signs from its rotation on."""
    before = minted(api, tenant)
    with api.client() as nobody, api.operator() as operator:
        keys = nobody.get("/.well-known/jwks.json").json()["keys"]
        kid = jwt.get_unverified_header(before)["kid"]
        public = jwt.PyJWK(next(key for key in keys if key["kid"] == kid))
        claims = jwt.decode(before, public, algorithms=["ES256"], audience="agentflow-cloud")
        assert claims["exp"] - claims["iat"] == 300
        assert all("d" not in key for key in keys)
        rotated = operator.post("/v1/admin/signing-keys/rotate")
        assert rotated.status_code == 201
        after = minted(api, tenant)
        assert jwt.get_unverified_header(after)["kid"] == rotated.json()["data"]["kid"] != kid
        assert status_with(api, before) == status_with(api, after) == 200
        assert len(nobody.get("/.well-known/jwks.json").json()["keys"]) == len(keys) + 1


def test_a_token_ends_with_its_key_and_its_tenant(api: Api) -> None:
    """Within a second of the key's revocation, and of the tenant's suspension."""
    tenant = api.tenant()
    with api.client(tenant) as client:
        new = client.post("/v1/keys", json={}).json()["data"]
    token = minted(api, TenantKey(tenant.tenant, new["api_key"]))
    other = minted(api, tenant)
    assert status_with(api, token) == 200
    with api.client(tenant) as client:
        client.delete(f"/v1/keys/{new['key']['key_id']}")
    soon(lambda: status_with(api, token) == 401)
    with api.operator() as operator:
        operator.post(f"/v1/admin/tenants/{tenant.tenant.slug}/suspend")
    soon(lambda: status_with(api, other) == 403)


@pytest.fixture
def good(api: Api, tenant: TenantKey) -> dict[str, Any]:
    """A good token's header and claims."""
    token = minted(api, tenant)
    header, claims, _ = token.split(".")
    return {
        "token": token,
        "header": json.loads(base64.urlsafe_b64decode(header + "==")),
        "claims": json.loads(base64.urlsafe_b64decode(claims + "==")),
    }


def test_forged_tokens_are_refused(api: Api, good: dict[str, Any]) -> None:
    """No algorithm, another one, the public key as a secret, ids that lead elsewhere, its own keys."""
    header, claims, token = good["header"], good["claims"], good["token"]
    signature = token.rsplit(".", 1)[1]
    with api.client() as client:
        public = client.get("/.well-known/jwks.json").json()["keys"][0]
    own = ec.generate_private_key(ec.SECP256R1())
    own_jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(own.public_key()))
    pem = jwt.PyJWK(public).key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    confused = f"{part({**header, 'alg': 'HS256'})}.{part(claims)}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, confused.encode(), hashlib.sha256)).decode().rstrip("=")

    def signed(**changes: Any) -> str:
        return jwt.encode(claims, own, algorithm="ES256", headers={**header, **changes})

    forged = [
        f"{part({**header, 'alg': 'none'})}.{part(claims)}.",
        f"{part({**header, 'alg': 'none'})}.{part(claims)}.{signature}",
        f"{confused}.{mac}",
        f"{part(header)}.{part({**claims, 'scopes': ['tenant:admin']})}.{signature}",
        signed(),
        signed(kid="../../../../dev/null"),
        signed(kid="' OR 1=1 --"),
        signed(kid="x" * 5000),
        signed(jku="https://evil.example/jwks.json", kid="evil"),
        signed(jwk=own_jwk, kid="evil"),
        signed(x5u="https://evil.example/x", kid="evil"),
        f"{token[:-4]}AAAA",
        "a.b.c",
        "..",
        f"{part([1])}.{part(claims)}.{signature}",
        f"{part(header)}.{part([1])}.{signature}",
    ]
    for one in forged:
        assert status_with(api, one) == 401, one[:60]
    assert status_with(api, token) == 200


def test_claims_that_do_not_hold_are_refused(api: Api, good: dict[str, Any]) -> None:
    """Signed by the service's own key, as if it had been stolen or misused."""
    now = int(time.time())
    with _signer(api) as sign:
        assert status_with(api, sign(good["claims"])) == 200
        for name in ("exp", "iat", "aud", "iss", "sub", "jti"):
            missing = {key: value for key, value in good["claims"].items() if key != name}
            assert status_with(api, sign(missing)) == 401, name
        wrong: list[dict[str, Any]] = [
            {"aud": "other"}, {"iss": "other"}, {"exp": now - 300}, {"iat": now + 300, "exp": now + 600},
            {"nbf": now + 300}, {"tenant": "00000000-0000-0000-0000-000000000001"}, {"key": "0" * 12},
            {"epoch": 10**9}, {"exp": "soon"},
        ]  # fmt: skip
        for change in wrong:
            assert status_with(api, sign({**good["claims"], **change})) == 401, change
        assert status_with(api, sign({**good["claims"], "exp": now - 20})) == 200, "20 s of skew"
        assert status_with(api, sign({**good["claims"], "iat": now + 20})) == 200
        assert status_with(api, sign({**good["claims"], "scopes": ["root"]})) == 403
        assert status_with(api, sign({**good["claims"], "scopes": []})) == 403


class _Signer:
    """Signs with a key that stands in the service's table, as the service would."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def __enter__(self) -> Any:
        import asyncio

        from sqlalchemy.ext.asyncio import create_async_engine

        from agentflow_tenancy.signing_keys import SigningKeys

        async def current() -> Any:
            engine = create_async_engine(self._api.database_url)
            try:
                return await SigningKeys(engine, self._api.pepper.encode()).current()
            finally:
                await engine.dispose()

        key = asyncio.run(current())

        def sign(claims: dict[str, Any]) -> str:
            return jwt.encode(claims, key.private, algorithm="ES256", headers={"kid": key.kid})

        return sign

    def __exit__(self, *_: object) -> None:
        return None


def _signer(api: Api) -> _Signer:
    return _Signer(api)


@pytest.fixture(scope="module")
def issuer_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def jwks_server(issuer_key: rsa.RSAPrivateKey) -> Iterator[str]:
    """Serves the issuer's keys, and what should not be followed."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(issuer_key.public_key())) | {"kid": "k1"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "/jwks.json")
                self.end_headers()
                return
            body = b"x" * 100_000 if self.path == "/large" else json.dumps({"keys": [public]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def external(key: Any, **changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": "https://idp.example", "aud": "acme", "sub": "alice", "iat": now, "exp": now + 60}
    merged = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(merged, key, algorithm="RS256", headers={"kid": "k1"})


def test_an_issuer_that_a_tenant_trusts(
    migrated_database_url: str, redis_url: str, jwks_server: str, issuer_key: rsa.RSAPrivateKey
) -> None:
    """Its users are that tenant's users, with the rights that were registered, as long as it is trusted."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_ALLOW_HTTP_ISSUERS="true") as api:
        tenant, other = api.tenant(), api.tenant()
        body = {
            "issuer": "https://idp.example", "audience": "acme", "jwks_uri": f"{jwks_server}/jwks.json",
            "scopes": ["threads:read", "graph:invoke"],
        }  # fmt: skip
        with api.client(tenant) as client, api.client(other) as stranger:
            made = client.post("/v1/issuers", json=body)
            assert made.status_code == 201, made.text
            assert stranger.post("/v1/issuers", json=body).status_code == 409
            assert stranger.get("/v1/issuers").json()["data"]["issuers"] == []
            with api.with_key(external(issuer_key)) as alice:
                assert alice.post("/v1/graph/invoke", json=say("I am Alice.", "a")).status_code == 200
                assert alice.delete("/v1/threads/a").status_code == 403
            assert client.get("/v1/threads/a").json()["data"]["thread_data"]["thread"]["user_id"] == "alice"
            assert status_with(api, external(issuer_key, sub="bob"), "/v1/threads/a") == 404
            now = int(time.time())
            for change in ({"aud": "other"}, {"exp": now - 60}, {"exp": None}, {"sub": None}, {"sub": ""},
                           {"iss": "https://evil.example"}, {"aud": ["x", "y"]}):  # fmt: skip
                assert status_with(api, external(issuer_key, **change)) == 401, change
            stolen = rsa.generate_private_key(65537, 2048)
            assert status_with(api, external(stolen)) == 401
            issuer_id = made.json()["data"]["issuer_id"]
            assert stranger.delete(f"/v1/issuers/{issuer_id}").status_code == 404
            assert client.delete(f"/v1/issuers/{issuer_id}").status_code == 200
            soon(lambda: status_with(api, external(issuer_key)) == 401)
            for path in ("redirect", "large"):
                name = f"https://{path}.example"
                client.post("/v1/issuers", json={**body, "issuer": name, "jwks_uri": f"{jwks_server}/{path}"})
                assert status_with(api, external(issuer_key, iss=name)) == 401


def test_issuers_that_are_none(api: Api, tenant: TenantKey, issuer_key: rsa.RSAPrivateKey) -> None:
    """No http, no private address, no secrets as keys, no rights that the key lacks."""
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(issuer_key.public_key())) | {"kid": "k1"}
    body: dict[str, Any] = {
        "issuer": "https://i.example",
        "audience": tenant.tenant.slug,
        "scopes": ["threads:read"],
    }
    bad: list[dict[str, Any]] = [
        {},
        {"jwks_uri": "http://127.0.0.1/x"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://x.example", "jwks": {"keys": []}},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}},
        {"jwks": {"keys": [public]}, "algorithms": ["HS256"]},
        {"jwks": {"keys": [public]}, "algorithms": ["none"]},
        {"jwks": {"keys": [public]}, "scopes": ["root"]},
        {"jwks": {"keys": [public]}, "issuer": "agentflow-cloud"},
    ]
    with api.client(tenant) as client:
        for change in bad:
            assert client.post("/v1/issuers", json={**body, **change}).status_code == 422, change
        private = client.post("/v1/issuers", json={**body, "jwks_uri": "https://127.0.0.1:1/jwks.json"})
        assert private.status_code == 201
        token = external(issuer_key, iss="https://i.example", aud=tenant.tenant.slug)
        assert status_with(api, token) == 401
        given = {**body, "issuer": "https://static.example", "jwks": {"keys": [public]}}
        assert client.post("/v1/issuers", json=given).status_code == 201
    static = external(issuer_key, iss="https://static.example", aud=tenant.tenant.slug)
    assert status_with(api, static) == 200
    powerless = api.tenant(scopes=["tenant:admin"])
    with api.client(powerless) as client:
        wide = {**body, "audience": "wide", "jwks": {"keys": [public]}}
        assert client.post("/v1/issuers", json=wide).status_code == 403
