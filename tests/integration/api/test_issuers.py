"""Tokens of other issuers: which are taken, what they may do, and where their keys are fetched from."""

import hashlib
import hmac
import itertools
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.api.test_tokens import part, status_with
from tests.support import databases
from tests.support.api import Api, TenantKey, running_api, say
from tests.support.jwks_server import (
    KEYS,
    JwksServer,
    jwks_server,
    known_keys,
    public_jwk,
    public_pem,
    signed,
)
from tests.support.run import Servers
from tests.support.waiting import soon

ALL = ["threads:read", "threads:write", "graph:invoke"]


@pytest.fixture(scope="module")
def keys() -> Iterator[JwksServer]:
    with jwks_server() as serving:
        yield serving


@pytest.fixture(scope="module")
def open_api(servers: Servers, template: str) -> Iterator[Api]:
    """An API that fetches keys from this machine."""
    name = databases.new_name("issuers")
    databases.create(servers.database_url, name, template)
    url = databases.url_of(servers.database_url, name)
    try:
        with running_api(url, servers.redis_url, AGENTFLOW_ALLOW_HTTP_ISSUERS="true") as running:
            yield running
    finally:
        databases.drop(servers.database_url, name)


def registered(api: Api, tenant: TenantKey, **body: Any) -> httpx.Response:
    chosen = {"issuer": "https://idp.example", "audience": tenant.tenant.slug, "scopes": ALL, **body}
    with api.client(tenant) as client:
        return client.post("/v1/issuers", json={k: v for k, v in chosen.items() if v is not None})


@pytest.fixture
def trusting(open_api: Api, keys: JwksServer) -> TenantKey:
    """A tenant that trusts the server's keys for its slug as audience."""
    tenant = open_api.tenant()
    made = registered(open_api, tenant, jwks_uri=f"{keys.url}/keys", algorithms=[*KEYS])
    assert made.status_code == 201, made.text
    return tenant


@pytest.mark.parametrize("algorithm", [*KEYS])
def test_each_algorithm_is_checked(open_api: Api, trusting: TenantKey, algorithm: str) -> None:
    """Also with keys that do not say theirs; a key of another kind or owner signs nothing."""
    slug = trusting.tenant.slug
    assert status_with(open_api, signed(algorithm, aud=slug)) == 200
    assert status_with(open_api, signed(algorithm, aud=slug, kid="unknown")) == 401
    other = next(name for name in KEYS if KEYS[name] is not KEYS[algorithm])
    assert status_with(open_api, signed(algorithm, aud=slug, kid=other)) == 401


def test_forged_tokens_are_refused(open_api: Api, trusting: TenantKey, keys: JwksServer) -> None:
    """No algorithm, the public key as a secret, other keys, ids that are paths, addresses in the header."""
    slug = trusting.tenant.slug
    good = signed(aud=slug)
    header, claims = {"alg": "RS256", "kid": "RS256", "typ": "JWT"}, good.split(".")[1]
    signature = good.split(".")[2]
    confused = f"{part({**header, 'alg': 'HS256'})}.{claims}"
    mac = part_of(hmac.digest(public_pem(KEYS["RS256"]), confused.encode(), hashlib.sha256))
    stolen = rsa.generate_private_key(65537, 2048)
    forged = [
        f"{part({**header, 'alg': 'none'})}.{claims}.",
        f"{part({**header, 'alg': ['RS256']})}.{claims}.{signature}",
        f"{confused}.{mac}",
        signed(key=stolen, aud=slug),
        signed(aud=slug, kid="../../../../dev/null"),
        signed(aud=slug, kid="' OR 1=1 --"),
        f"{part({**header, 'kid': 7})}.{claims}.{signature}",
        f"{part({**header, 'crit': ['exp']})}.{claims}.{signature}",
        f"{part({**header, 'jku': f'{keys.url}/attacker'})}.{claims}.{signature}",
        f"{part({**header, 'x5u': f'{keys.url}/attacker'})}.{claims}.{signature}",
        f"{part(header)}.{part({'iss': 'https://idp.example', 'aud': slug, 'sub': 'root'})}.{signature}",
        good + "A" * 9000,
    ]
    for one in forged:
        assert status_with(open_api, one) == 401, one[:80]
    assert "/attacker" not in keys.asked
    assert status_with(open_api, good) == 200


def part_of(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def test_claims_that_do_not_hold_are_refused(open_api: Api, trusting: TenantKey) -> None:
    """Missing, over, too early, for others, no number, no user that could be stored; and no fault of ours."""
    slug = trusting.tenant.slug
    now = int(time.time())
    for name in ("exp", "iss", "aud", "sub"):
        without: dict[str, Any] = {"aud": slug, name: None}
        assert status_with(open_api, signed(**without)) == 401, name
    wrong: list[dict[str, Any]] = [
        {"exp": now - 300}, {"exp": float("inf")}, {"exp": float("nan")}, {"exp": "soon"},
        {"exp": []}, {"nbf": now + 300}, {"iat": now + 300}, {"iat": float("inf")}, {"iss": "https://other"},
        {"aud": "other"}, {"aud": [slug, "other"]}, {"aud": []}, {"aud": [[slug]]}, {"sub": ""}, {"sub": " "},
        {"sub": "a\0b"}, {"sub": "\ud800"}, {"sub": "é" * 200}, {"iss": "x" * 600},
    ]  # fmt: skip
    for change in wrong:
        assert status_with(open_api, signed(**{"aud": slug, **change})) == 401, change
    assert status_with(open_api, signed(aud=[slug])) == 200
    assert status_with(open_api, signed(aud=slug, exp=now - 20)) == 200, "20 s of skew"


def test_an_audience_is_one_tenants(open_api: Api, trusting: TenantKey, keys: JwksServer) -> None:
    """Who registers another audience of somebody's issuer neither gets the tokens nor shuts the owner out."""
    attacker = open_api.tenant()
    made = registered(
        open_api, attacker, jwks_uri=f"{keys.url}/keys", audience=f"{trusting.tenant.slug}-info"
    )
    assert made.status_code == 201
    assert registered(open_api, attacker, jwks=known_keys(), audience=trusting.tenant.slug).status_code == 409
    assert status_with(open_api, signed(aud=trusting.tenant.slug)) == 200


def test_its_users_have_no_more_than_users(open_api: Api, keys: JwksServer) -> None:
    """Neither what no user has, nor more than the key that registers, nor more than the token says."""
    tenant = open_api.tenant()
    uri = f"{keys.url}/keys"
    for scope in ("keys:admin", "tenant:admin", "usage:read"):
        assert registered(open_api, tenant, jwks_uri=uri, scopes=[scope]).status_code == 403
    weak = TenantKey(tenant.tenant, open_api.tenant(tenant.tenant.slug, ["tenant:admin"]).key)
    assert registered(open_api, weak, jwks_uri=uri, scopes=["threads:read"]).status_code == 403
    assert registered(open_api, tenant, jwks_uri=uri, scope_claim="scp", user_claim="uid").status_code == 201
    slug = tenant.tenant.slug
    token = signed(aud=slug, scp="openid threads:read keys:admin", uid="alice")
    with open_api.with_key(token) as alice:
        assert alice.get("/v1/threads").status_code == 200
        assert alice.post("/v1/graph/invoke", json=say("x")).status_code == 403
        assert alice.get("/v1/keys").status_code == alice.post("/v1/keys", json={}).status_code == 403
        assert alice.post("/v1/tokens", json={}).status_code == 403
    assert status_with(open_api, signed(aud=slug, uid="alice")) == 403, "no scopes said, none given"
    assert status_with(open_api, signed(aud=slug, scp=["threads:read"], uid="alice")) == 200
    assert status_with(open_api, signed(aud=slug, scp="threads:read")) == 401, "no user said"


def test_its_tokens_end(open_api: Api, trusting: TenantKey) -> None:
    """With the tenant's suspension (403), until it is over; and with the registration (401)."""
    token = signed(aud=trusting.tenant.slug)
    assert status_with(open_api, token) == 200
    with open_api.operator() as operator:
        operator.post(f"/v1/admin/tenants/{trusting.tenant.slug}/suspend")
        soon(lambda: status_with(open_api, token) == 403)
        operator.post(f"/v1/admin/tenants/{trusting.tenant.slug}/resume")
        soon(lambda: status_with(open_api, token) == 200)
    with open_api.client(trusting) as client:
        (issuer,) = client.get("/v1/issuers").json()["data"]["issuers"]
        assert client.delete(f"/v1/issuers/{issuer['issuer_id']}").status_code == 200
    soon(lambda: status_with(open_api, token) == 401)


def test_answers_that_are_no_keys(open_api: Api, keys: JwksServer) -> None:
    """Redirects are not followed; large, packed, nested and other answers are read no further."""
    tenant = open_api.tenant()
    for path in ("/redirect", "/large", "/packed", "/deep", "/text", "/list", "/missing"):
        made = registered(open_api, tenant, issuer=f"https://idp.example{path}", jwks_uri=f"{keys.url}{path}")
        assert made.status_code == 201
        before = len(keys.asked)
        token = signed(aud=tenant.tenant.slug, iss=f"https://idp.example{path}")
        assert [status_with(open_api, token) for _ in range(3)] == [401] * 3, path
        assert keys.asked[before:] == [path], "asked once in a while, however many tokens come"


def test_a_new_key_of_an_issuer(open_api: Api, keys: JwksServer) -> None:
    """Is fetched when a token names it."""
    tenant, path = open_api.tenant(), f"/{secrets.token_hex(4)}"
    keys.bodies[path] = json.dumps(known_keys()).encode()
    assert registered(open_api, tenant, jwks_uri=f"{keys.url}{path}").status_code == 201
    assert status_with(open_api, signed(aud=tenant.tenant.slug)) == 200
    new = rsa.generate_private_key(65537, 2048)
    token = signed(aud=tenant.tenant.slug, key=new, kid="new")
    assert status_with(open_api, token) == 401
    keys.bodies[path] = json.dumps({"keys": [public_jwk("RS256", new, "new")]}).encode()
    soon(lambda: status_with(open_api, token) == 200, within_s=15)


def test_registrations_that_are_refused(api: Api, tenant: TenantKey) -> None:
    """Addresses that keys are not fetched from, sets that hold no public key, and more than there may be."""
    private = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEYS["RS256"]))
    small = public_jwk("RS256", rsa.generate_private_key(65537, 1024), "small")
    bad: list[dict[str, Any]] = [
        *({"jwks_uri": uri} for uri in (
            "http://idp.example/keys", "https://", "https://user@idp.example/", "https://idp.example:99999/",
            "https://idp example/", "https://idp.example/#keys", "https://idp.example\\@evil.example/",
            "https://\N{SNOWMAN}.example/", "ftp://idp.example/", "https://[::1", "HTTP://idp.example/keys",
            "https://idp%00.example/",
        )),
        {"jwks": {"keys": [private]}},
        {"jwks": {"keys": [small]}},
        {"jwks": {"keys": [*known_keys()["keys"], {"kty": "oct", "k": "c2VjcmV0", "kid": "x"}]}},
        {"jwks": {"keys": {}}},
        {"jwks": {"keys": known_keys()["keys"] * 20}},
        {"jwks": known_keys() | {"padding": "x" * 70_000}},
        {"jwks": known_keys(), "algorithms": []},
        {"jwks": known_keys(), "issuer": "agentflow-cloud"},
        {"jwks": known_keys(), "issuer": "a\0b"},
        {"jwks": known_keys(), "unknown": 1},
    ]  # fmt: skip
    for body in bad:
        assert registered(api, tenant, **body).status_code == 422, body
    numbers = itertools.count()
    made = [registered(api, tenant, jwks=known_keys(), issuer=f"i{next(numbers)}") for _ in range(21)]
    assert [answer.status_code for answer in made] == [201] * 20 + [409]
    assert made[-1].json()["error"]["code"] == "TOO_MANY_ISSUERS"


def test_local_addresses_are_not_asked(api: Api, tenant: TenantKey, keys: JwksServer) -> None:
    """By whatever name: the connection is not even made."""
    port = keys.url.rsplit(":", 1)[1]
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "127.1"):
        issuer = f"https://{host}"
        made = registered(api, tenant, issuer=issuer, jwks_uri=f"https://{host}:{port}/local")
        assert made.status_code == 201, made.text
        assert status_with(api, signed(aud=tenant.tenant.slug, iss=issuer)) == 401
    assert "/local" not in keys.asked
