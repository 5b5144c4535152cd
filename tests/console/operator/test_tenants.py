"""The operator's pages of tenants: found, made, changed, suspended, their keys."""

import re
import secrets

import pytest

from tests.support.api import Api, TenantKey
from tests.support.console import Visitor
from tests.support.waiting import soon

XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"


@pytest.fixture
def slug() -> str:
    return f"t-{secrets.token_hex(6)}"


def key_on(page: str) -> str:
    found = re.search(r'id="api-key">([^<]+)<', page)
    assert found is not None, page
    return found.group(1)


def test_a_tenant_is_made_and_its_key_works(api: Api, operator: Visitor, slug: str) -> None:
    """The key is on the page that answers, and on none afterwards."""
    operator.see("/console/new-tenant")
    made = operator.send("/console/new-tenant", slug=slug, name=XSS, plan="free")
    key = key_on(made.text)
    with api.with_key(key) as client:
        assert client.get("/v1/threads").status_code == 200
    page = operator.see(f"/console/tenants/{slug}")
    assert key not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert "{{7*7}}" in operator.see("/console/tenants", search=slug)


@pytest.mark.parametrize("wrong", ["", "UPPER", XSS, "a" * 80])
def test_a_slug_that_is_refused(operator: Visitor, wrong: str) -> None:
    """The form comes back with what was typed, and says what to write."""
    operator.see("/console/new-tenant")
    answer = operator.send("/console/new-tenant", slug=wrong)
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert "<script>alert" not in answer.text


def test_tenants_are_found(operator: Visitor, tenant: TenantKey, api: Api) -> None:
    """By name, state, plan and partition, with what each keeps; a page leads to the next."""
    slug = tenant.tenant.slug
    with api.client(tenant) as client:
        body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
        assert client.post("/a/echo/v1/graph/invoke", json=body).status_code == 200
    page = operator.see("/console/tenants", search=slug)
    assert f'href="/console/tenants/{slug}"' in page
    assert re.search(r'data-label="Threads" class="amount">1<', page)
    assert f'tenants/{slug}"' not in operator.see("/console/tenants", search=slug, state="suspended")
    assert f'tenants/{slug}"' not in operator.see("/console/tenants", search=slug, plan="free")
    where = tenant.tenant.placement
    assert f'tenants/{slug}"' in operator.see("/console/tenants", search=slug, placement=where)
    assert "No tenant fits." in operator.see("/console/tenants", search=slug, plan="free")
    assert "whole number" in operator.see("/console/tenants", placement="x", status=422)
    for number in range(26):
        api.tenant(f"{slug[:20]}-n{number}")
    first = operator.see("/console/tenants", search=f"{slug[:20]}-n")
    further = re.search(r'rel="next" href="([^"]+)"', first)
    assert further is not None
    names = re.findall(r'href="/console/tenants/([^"?]+)"><strong>', first)
    following = operator.see(further.group(1).replace("&amp;", "&"))
    more = re.findall(r'href="/console/tenants/([^"?]+)"><strong>', following)
    assert (len(names), len(more), set(names) & set(more)) == (25, 1, set())


def test_plan_limits_and_retention(api: Api, operator: Visitor, tenant: TenantKey) -> None:
    """What is typed holds; what cannot be is said beside the form; an empty field is the plan's."""
    path = f"/console/tenants/{tenant.tenant.slug}/settings"
    operator.see(path)
    given = {"name": "Acme", "plan": "free", "limit_threads": "7", "retention_days": "30"}
    assert operator.send(path, **given).status_code == 303
    page = operator.see(f"/console/tenants/{tenant.tenant.slug}")
    assert "Changed; it holds" in page
    assert "30 days" in page
    assert "Changed; it holds" not in operator.see(f"/console/tenants/{tenant.tenant.slug}")
    with api.operator() as client:
        found = client.get(f"/v1/admin/tenants/{tenant.tenant.slug}").json()["data"]
    assert (found["plan"], found["own_limits"], found["retention_days"]) == ("free", {"threads": 7}, 30)
    for wrong in ({"plan": "none-such"}, {"plan": "free", "limit_threads": "many"}):
        answer = operator.send(path, **wrong)
        assert answer.status_code == 422
        assert 'role="alert"' in answer.text
    assert operator.send(path, name="Acme", plan="standard").status_code == 303
    with api.operator() as client:
        found = client.get(f"/v1/admin/tenants/{tenant.tenant.slug}").json()["data"]
    assert (found["plan"], found["own_limits"], found["retention_days"]) == ("standard", {}, None)


def test_suspended_and_resumed(api: Api, operator: Visitor, tenant: TenantKey) -> None:
    """Within a second for its keys; what was done stands in the audit log of the page."""
    path = f"/console/tenants/{tenant.tenant.slug}"
    operator.see(path)
    assert operator.send(f"{path}/suspend").status_code == 303
    with api.client(tenant) as client:
        soon(lambda: client.get("/v1/threads").status_code == 403)
        page = operator.see(path)
        assert "tenant.suspend" in page
        assert operator.send(f"{path}/resume").status_code == 303
        soon(lambda: client.get("/v1/threads").status_code == 200)


def test_keys(api: Api, operator: Visitor, tenant: TenantKey) -> None:
    """Made with some rights, rotated, revoked."""
    path = f"/console/tenants/{tenant.tenant.slug}"
    operator.see(path)
    made = operator.send(f"{path}/keys", **{"name": XSS, "scope_threads:read": "on"})
    key = key_on(made.text)
    assert "<script>alert" not in made.text
    with api.with_key(key) as client:
        assert client.get("/v1/threads").status_code == 200
        assert client.post("/a/echo/v1/graph/invoke", json={"messages": []}).status_code == 403
    key_id = key.removeprefix("af_live_").split("_")[0]
    rotated = key_on(operator.send(f"{path}/keys/{key_id}/rotate").text)
    new_id = rotated.removeprefix("af_live_").split("_")[0]
    assert operator.send(f"{path}/keys/{new_id}/revoke").status_code == 303
    with api.with_key(rotated) as client:
        soon(lambda: client.get("/v1/threads").status_code == 401)
    assert operator.send(f"{path}/keys/none-such/revoke").status_code == 404


@pytest.mark.parametrize("path", ["", "/settings", "/offboarding"])
def test_nobody_of_that_name(operator: Visitor, path: str) -> None:
    """Said in words, with a way on."""
    for named in ("nobody-there", "..%2fadmin", "%3cscript%3e"):
        answer = operator.client.get(f"/console/tenants/{named}{path}")
        assert answer.status_code in (403, 404), (named, answer.status_code)
        assert "<script>alert" not in answer.text


def test_only_the_operator(anybody: Visitor, tenant: TenantKey) -> None:
    """A tenant's admin sees none of these pages, and changes nothing by their forms."""
    anybody.sign_in(tenant.key)
    path = f"/console/tenants/{tenant.tenant.slug}"
    pages = ["/console/tenants", "/console/new-tenant", "/console/placement", "/console/operations"]
    pages += [
        "/console/receipts",
        "/console/audit",
        "/console/health",
        path,
        f"{path}/settings",
        f"{path}/offboarding",
    ]
    for page in pages:
        anybody.see(page, status=403)
    for form in ("/console/new-tenant", f"{path}/suspend", f"{path}/placement", f"{path}/offboarding"):
        assert anybody.send(form, slug="x", confirm=tenant.tenant.slug).status_code == 403
