"""Signing in and out over plain HTTP: what a browser is given, and what it is refused without."""

import re
from urllib.parse import unquote

import httpx
import jwt
import pytest

from agentflow_api.console.session.attempts import MOST, WITHIN_S, Attempts
from agentflow_api.console.session.seal import IDLE_S, LONGEST_S, RENEW_S, Seal
from tests.support.api import Api, TenantKey, running_api
from tests.support.console import Visitor, visitor
from tests.support.waiting import soon

PEPPER = b"p" * 32
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def test_the_operator(api: Api, operator: Visitor) -> None:
    """Lands on the tenants; a tenant's page says whose it is."""
    assert "<h1>Tenants</h1>" in operator.see("/console/tenants")
    assert operator.client.get("/console").headers["location"] == "/console/tenants"
    assert operator.client.get("/console/sign-in").headers["location"] == "/console/tenants"
    assert "This page is a tenant&#39;s" in operator.see("/console/home", status=403)
    assert api.operator_token not in str(operator.client.cookies.jar)


def test_a_key(anybody: Visitor, tenant: TenantKey) -> None:
    """Lands on its tenant's page; the operator's pages stay closed, and the browser holds no key."""
    assert anybody.sign_in(tenant.key).headers["location"] == "/console/home"
    assert tenant.tenant.slug in anybody.see("/console/home")
    assert "operator&#39;s" in anybody.see("/console/tenants", status=403)
    [cookie] = [c for c in anybody.client.cookies.jar if c.name == "agentflow_console"]
    assert cookie.value is not None
    secret = tenant.key.rsplit("_", 1)[-1]
    assert secret not in cookie.value
    assert secret not in str(jwt.decode(cookie.value, options={"verify_signature": False}))


def test_the_cookie(api: Api, tenant: TenantKey) -> None:
    """Kept from scripts and other sites; for https alone where the service is told that it is behind that."""
    answer = httpx.post(f"{api.base_url}/console/sign-in", data={"credential": tenant.key})
    [given] = answer.headers.get_list("set-cookie")
    assert given.startswith("agentflow_console=")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= {part.strip() for part in given.split(";")}


def test_every_page_has_a_strict_policy(anybody: Visitor) -> None:
    """Nothing from elsewhere, nothing inline; nobody frames or keeps it."""
    answer = anybody.client.get("/console/sign-in")
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<style|style=|\son\w+=|<script(?! src)|https?:", answer.text)
    for path in re.findall(r'(?:href|src)="(/console/assets/[^"]+)"', answer.text):
        asset = anybody.client.get(path)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        # Of another version's page: what is here may be another file.
        old = anybody.client.get(f"/console/assets/0123456789ab/{path.rsplit('/', 1)[1]}")
        assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache")
    assert anybody.client.get("/console/assets/x/routes.py").status_code == 404
    assert anybody.client.get("/console/assets/x/__init__.py").status_code == 404


@pytest.mark.parametrize("credential", ["", "x", "af_live_nothing", "a.b.c", "Bearer x", "ü" * 40])
def test_what_opens_nothing(anybody: Visitor, credential: str) -> None:
    """The same words for all of them, and no session."""
    answer = anybody.client.post("/console/sign-in", data={"credential": credential})
    assert answer.status_code == 401
    assert "This opens nothing." in answer.text
    assert not anybody.client.cookies
    assert anybody.client.get("/console/home").status_code == 303


def test_who_is_wrong_too_often(migrated_database_url: str, redis_url: str) -> None:
    """Waits, whatever is tried from there then; who is right meanwhile elsewhere is let in."""
    with (
        running_api(migrated_database_url, redis_url) as api,
        visitor(api.base_url) as one,
    ):
        statuses = [one.sign_in("af_live_nothing").status_code for _ in range(MOST + 1)]
        assert statuses == [401] * MOST + [429]
        answer = one.sign_in(api.operator_token)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= WITHIN_S
        assert "Too many wrong attempts" in answer.text
        assert one.client.get("/console/sign-in").status_code == 200


def test_attempts() -> None:
    """Counted by address, for a minute from the first; right ones are not."""
    clock = Clock()
    attempts = Attempts(clock=clock)
    for _ in range(MOST):
        assert attempts.wait_s("a") == 0
        attempts.failed("a")
    assert (attempts.wait_s("a"), attempts.wait_s("b")) == (WITHIN_S + 1, 0)
    clock.now += WITHIN_S
    assert attempts.wait_s("a") == 0
    attempts.failed("a")
    assert attempts.wait_s("a") == 0
    for number in range(20_000):
        attempts.failed(str(number))
    assert attempts.wait_s("a") == 0


def test_who_is_not_signed_in_comes_back_to_where_they_wanted(anybody: Visitor, tenant: TenantKey) -> None:
    """By a path of the console only."""
    assert anybody.client.get("/console/home").headers["location"] == "/console/sign-in?to=/console/home"
    for to, lands in (
        ("/console/threads", "/console/threads"),
        ("https://elsewhere.example", "/console/home"),
        ("//elsewhere.example", "/console/home"),
        ("/console//elsewhere.example", "/console/home"),
        ("/console/\\elsewhere", "/console/home"),
    ):
        answer = anybody.client.post("/console/sign-in", data={"credential": tenant.key, "to": to})
        assert answer.headers["location"] == lands


def test_a_form_of_another_page(anybody: Visitor, tenant: TenantKey) -> None:
    """Refused without the session's token, and from another origin even with it."""
    anybody.sign_in(tenant.key)
    out = "/console/sign-out"
    assert anybody.client.post(out).status_code == 403
    assert anybody.client.post(out, data={"form_token": "x"}).status_code == 403
    for headers in (
        {"origin": "https://elsewhere.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null"},
    ):
        fields = {"form_token": anybody.form_token}
        assert anybody.client.post(out, data=fields, headers=headers).status_code == 403
    assert anybody.send(out).headers["location"] == "/console/sign-in"
    assert anybody.client.get("/console/home").status_code == 303


def test_another_sites_sign_in(anybody: Visitor, tenant: TenantKey) -> None:
    """Nobody signs a browser in from elsewhere."""
    headers = {"origin": "https://elsewhere.example"}
    fields = {"credential": tenant.key}
    assert anybody.client.post("/console/sign-in", data=fields, headers=headers).status_code == 403
    assert not anybody.client.cookies


def test_a_revoked_key(api: Api, anybody: Visitor, tenant: TenantKey) -> None:
    """Its sessions are over within a second."""
    anybody.sign_in(tenant.key)
    with api.client(tenant) as client:
        [key] = client.get("/v1/keys").json()["data"]["keys"]
        assert client.delete(f"/v1/keys/{key['key_id']}").status_code == 200
    soon(lambda: anybody.client.get("/console/home").status_code == 303)


def test_scripts_ask_the_api_by_the_session(anybody: Visitor, tenant: TenantKey) -> None:
    """With the page's token, as the key; nothing else opens it, and no other credential is looked at."""
    path = "/console/api/v1/threads"
    assert anybody.client.get(path).status_code == 401
    anybody.sign_in(tenant.key)
    assert anybody.client.get(path).status_code == 403
    mine = {"x-form-token": anybody.form_token}
    answer = anybody.client.get(path, headers=mine)
    assert answer.json()["data"] == {"threads": []}
    assert answer.headers["cache-control"] == "no-store"
    assert "ratelimit" in answer.headers
    assert anybody.client.get(path, headers={**mine, "sec-fetch-site": "cross-site"}).status_code == 403
    assert anybody.client.get("/console/api/v1/admin/tenants", headers=mine).status_code == 403
    with_key = {**mine, "authorization": "Bearer nothing"}
    assert anybody.client.get(path, headers=with_key).status_code == 200


def test_one_tenants_refusal_is_not_anothers(api: Api, anybody: Visitor) -> None:
    """A session that is out of requests is refused; whoever comes without a credential is not."""
    limited = api.tenant()
    limits = {"limits": {"requests_per_minute": 1, "burst": 1}}
    with api.operator() as client:
        path = f"/v1/admin/tenants/{limited.tenant.slug}"
        assert client.patch(path, json=limits).status_code == 200
    # Its page may be refused already: what is asked for is its forms' token.
    answer = anybody.client.post("/console/sign-in", data={"credential": limited.key})
    found = re.search(r'name="form_token" value="([^"]+)"', anybody.client.get("/console/home").text)
    if found is not None:
        anybody.form_token = found.group(1)
    assert answer.status_code == 303
    assert anybody.form_token
    mine = {"x-form-token": anybody.form_token}
    statuses = {anybody.client.get("/console/api/v1/threads", headers=mine).status_code for _ in range(4)}
    assert 429 in statuses
    with visitor(api.base_url) as another:
        assert another.client.get("/console/sign-in").status_code == 200
        assert another.sign_in(api.tenant().key).status_code == 303


def test_the_api_itself_takes_no_session(anybody: Visitor, operator: Visitor, tenant: TenantKey) -> None:
    """A cookie opens pages; the API's routes want a credential."""
    anybody.sign_in(tenant.key)
    assert anybody.client.get("/v1/threads").status_code == 401
    assert operator.client.get("/v1/admin/tenants").status_code == 401


@pytest.mark.parametrize(
    "others", ['prefs={"a":1}; ', "flag; ", "x=\xe9; ", "e=a b; ", "agentflow_consoles=1; "]
)
def test_cookies_of_others(anybody: Visitor, tenant: TenantKey, others: str) -> None:
    """However they are written, ours is found among them."""
    anybody.sign_in(tenant.key)
    mine = f"agentflow_console={anybody.client.cookies['agentflow_console']}"
    anybody.client.cookies.clear()
    answer = anybody.client.get("/console/home", headers=[(b"cookie", (others + mine).encode("latin-1"))])
    assert answer.status_code == 200


def test_a_suspended_tenants_browser(api: Api, anybody: Visitor, tenant: TenantKey) -> None:
    """Is told so, can sign out and in as another."""
    anybody.sign_in(tenant.key)
    with api.operator() as client:
        assert client.post(f"/v1/admin/tenants/{tenant.tenant.slug}/suspend").status_code == 200
    soon(lambda: anybody.client.get("/console/home").status_code == 403)
    assert "Sign out" in anybody.see("/console/home", status=403)
    assert "This tenant is suspended." in anybody.see("/console/sign-in")
    assert anybody.send("/console/sign-out").headers["location"] == "/console/sign-in"
    assert anybody.sign_in(tenant.key).status_code == 403
    assert anybody.sign_in(api.tenant().key).status_code == 303


def test_a_leaving_tenants_browser(api: Api, anybody: Visitor, tenant: TenantKey) -> None:
    """The same: nothing of it is shown any more."""
    anybody.sign_in(tenant.key)
    with api.operator() as client:
        asked = client.post(f"/v1/admin/tenants/{tenant.tenant.slug}/offboarding", json={})
        assert asked.status_code == 202
    soon(lambda: anybody.client.get("/console/home").status_code == 410)
    assert "being offboarded" in anybody.see("/console/sign-in")
    assert anybody.send("/console/sign-out").status_code == 303
    assert anybody.sign_in(tenant.key).status_code == 403


def test_back_to_the_very_address(anybody: Visitor) -> None:
    """As it was written: with its query, and ids that are no plain words."""
    for path in ("/console/threads?text=a%20b", "/console/threads/a%2541", "/console/threads/100%25?at=3"):
        location = anybody.client.get(path).headers["location"]
        assert unquote(location.partition("?to=")[2]) == path


def test_forms_that_nobody_fills_in(anybody: Visitor, tenant: TenantKey) -> None:
    """Too many fields, and an address to go to that no header holds."""
    many = {f"f{number}": "1" for number in range(300)}
    assert anybody.client.post("/console/sign-in", data=many).status_code == 422
    fields = {"credential": tenant.key, "to": "/console/x\r\nset-cookie: a=b"}
    answer = anybody.client.post("/console/sign-in", data=fields)
    assert answer.headers["location"] == "/console/home"
    assert "a=b" not in str(answer.headers)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_ends() -> None:
    """After an hour without a look, and after twelve in any case."""
    clock = Clock()
    seal = Seal(PEPPER, clock=clock)
    session = seal.begin("key-1")
    cookie = seal.cookie(session)
    assert seal.read(cookie) == session
    assert seal.renewed(session) is None
    clock.now += IDLE_S
    assert seal.read(cookie) is None
    clock.now -= 1
    began = clock.now - IDLE_S + 1
    while clock.now < began + LONGEST_S:
        kept = seal.read(cookie)
        assert kept is not None
        renewed = seal.renewed(kept)
        assert renewed is not None
        cookie = seal.cookie(renewed)
        clock.now += IDLE_S - 1
    assert seal.read(cookie) is None
    assert RENEW_S < IDLE_S


def test_what_others_made_is_no_session() -> None:
    """Another pepper's, unsigned, of another use, or changed."""
    seal = Seal(PEPPER)
    session = seal.begin("key-1")
    cookie = seal.cookie(session)
    claims = jwt.decode(cookie, options={"verify_signature": False})
    foreign = [
        Seal(b"q" * 32).cookie(session),
        jwt.encode(claims, "", "none"),
        jwt.encode({**claims, "aud": "api"}, PEPPER, "HS256"),
        jwt.encode(claims, PEPPER, "HS256"),
        cookie[:-2],
        "",
        "x.y.z",
    ]
    assert [seal.read(one) for one in foreign] == [None] * len(foreign)
    assert not Seal(b"q" * 32).is_form_token(session, seal.form_token(session))


def test_an_operators_session_says_nothing_of_the_token() -> None:
    """It carries a fingerprint that only the same token has again."""
    seal = Seal(PEPPER)
    session = seal.begin(None, "secret-token")
    assert session.proves(seal.fingerprint("secret-token"))
    assert not session.proves(seal.fingerprint("another"))
    assert "secret-token" not in str(jwt.decode(seal.cookie(session), options={"verify_signature": False}))


def test_the_console_can_be_closed(migrated_database_url: str, redis_url: str) -> None:
    """Then there is nothing at its paths, the scripts' included."""
    with (
        running_api(migrated_database_url, redis_url, AGENTFLOW_CONSOLE="off") as api,
        visitor(api.base_url) as one,
    ):
        for path in ("/console", "/console/sign-in", "/console/api/v1/threads"):
            assert one.client.get(path).status_code in (401, 404)
        assert one.client.get("/console").status_code == 404


def test_behind_https(migrated_database_url: str, redis_url: str) -> None:
    """Cookies are for https and this host alone; another operator's token ends the sessions of the last."""
    with running_api(migrated_database_url, redis_url, AGENTFLOW_CONSOLE="https") as api:
        answer = httpx.post(f"{api.base_url}/console/sign-in", data={"credential": api.operator_token})
        [given] = answer.headers.get_list("set-cookie")
        assert given.startswith("__Host-agentflow_console=")
        assert "Secure" in given
        mine = {"cookie": given.partition(";")[0]}
        host = api.base_url.partition("//")[2]
        for scheme, status in (("http", 403), ("https", 401)):
            answer = httpx.post(
                f"{api.base_url}/console/sign-in",
                data={"credential": "x"},
                headers={"origin": f"{scheme}://{host}"},
            )
            assert answer.status_code == status
        assert httpx.get(f"{api.base_url}/console/tenants", headers=mine).status_code == 200
        api.stop()
        api.environment["AGENTFLOW_OPERATOR_TOKEN"] = "n" * 40
        api.start()
        assert httpx.get(f"{api.base_url}/console/tenants", headers=mine).status_code == 303
