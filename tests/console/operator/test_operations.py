"""The operator's pages of moves, offboarding, receipts and health, with a worker that carries them out."""

import re
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from tests.support import databases
from tests.support.api import Api, running_api, say
from tests.support.console import Visitor, visitor
from tests.support.run import Servers
from tests.support.waiting import soon
from tests.support.worker import running_worker


@pytest.fixture(scope="module")
def worked(servers: Servers, template: str) -> Iterator[Api]:
    """A service with a worker, for the tests of this module."""
    name = databases.new_name("console")
    databases.create(servers.database_url, name, template)
    url = databases.url_of(servers.database_url, name)
    try:
        with running_api(url, servers.redis_url) as api:
            more = {
                "AGENTFLOW_DATABASE_URL": databases.app_url(url),
                "AGENTFLOW_KEY_PEPPER": api.pepper,
                "AGENTFLOW_EXPORTS": str(api.exports),
            }
            with running_worker(url, servers.redis_url, **more):
                yield api
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def operator(worked: Api) -> Iterator[Visitor]:
    with visitor(worked.base_url) as one:
        assert one.sign_in(worked.operator_token).status_code == 303
        yield one


# A guard against waiting for ever, not a measure.
PATIENCE_S = 60.0


def said_where(answer_location: str) -> str:
    assert answer_location.startswith("/console/")
    return answer_location


def test_a_move_is_watched_to_its_end(worked: Api, operator: Visitor) -> None:
    """The page's live part comes until it is done, and then without what asks for it again."""
    tenant = worked.tenant()
    path = f"/console/tenants/{tenant.tenant.slug}"
    operator.see(path)
    asked = operator.send(f"{path}/placement", placement="dedicated", reason="<script>alert(1)</script>")
    watched = said_where(asked.headers["location"])
    page = operator.see(watched)
    assert "&lt;script&gt;alert(1)" in page
    part = f"{watched}/part"

    def is_done() -> bool:
        text = operator.see(part)
        return "data-live" not in text and ">done<" in text

    soon(is_done, within_s=PATIENCE_S)
    assert "(own)" in operator.see(path)
    assert watched in operator.see("/console/operations")
    assert watched in operator.see("/console/placement")
    # It is over: there is nothing to undo.
    assert operator.send(f"{watched}/cancel").status_code == 409


def test_a_tenant_leaves(worked: Api, operator: Visitor) -> None:
    """Counted first, confirmed by its name, at once by skipping the grace; the receipt verifies."""
    tenant = worked.tenant()
    slug = tenant.tenant.slug
    with worked.client(tenant) as client:
        assert client.post("/a/echo/v1/graph/invoke", json=say("bye", "t")).status_code == 200
    path = f"/console/tenants/{slug}/offboarding"
    operator.see(path)
    counted = said_where(operator.send(path, what="dry_run").headers["location"])
    soon(lambda: "agentflow_threads" in operator.see(f"{counted}/part"), within_s=PATIENCE_S)
    refused = operator.send(path, confirm="another")
    assert refused.status_code == 422
    assert "Type the tenant&#39;s name" in refused.text
    assert 'action="/console/tenants' in operator.see(f"/console/tenants/{slug}")
    gone = said_where(operator.send(path, confirm=slug, grace_s="86400").headers["location"])
    soon(lambda: ">grace<" in operator.see(f"{gone}/part"), within_s=PATIENCE_S)
    operator.see(gone)
    assert operator.send(f"{gone}/skip-grace").status_code == 303
    soon(lambda: ">purged<" in operator.see(f"{gone}/part"), within_s=PATIENCE_S)
    found = re.search(r'href="(/console/receipts/[^"]+)"', operator.see(gone))
    assert found is not None
    assert "It verifies" in operator.see(found.group(1))
    assert "verify: each signature" in operator.see("/console/receipts")
    operator.see(f"/console/tenants/{slug}", status=404)
    with worked.client(tenant) as client:
        assert client.get("/v1/threads").status_code == 410


def test_a_tenant_stays_after_all(worked: Api, operator: Visitor) -> None:
    """Cancelled within the grace."""
    tenant = worked.tenant()
    path = f"/console/tenants/{tenant.tenant.slug}/offboarding"
    operator.see(path)
    leaving = operator.send(path, confirm=tenant.tenant.slug).headers["location"]
    soon(lambda: ">grace<" in operator.see(f"{leaving}/part"), within_s=PATIENCE_S)
    assert operator.send(f"{leaving}/cancel").status_code == 303
    assert "the tenant stays" in operator.see(leaving)
    with worked.client(tenant) as client:
        soon(lambda: client.get("/v1/threads").status_code == 200, within_s=PATIENCE_S)


def test_receipts_of_two_pages(worked: Api, operator: Visitor) -> None:
    """The first of a page must follow the last of the page before."""
    tenant = worked.tenant()
    with worked.operator() as client:
        path = f"/v1/admin/tenants/{tenant.tenant.slug}/forgotten-users"
        for user in ("u1", "u2"):
            assert client.post(path, json={"user_id": user}).status_code == 202
        own = f"/v1/admin/offboardings?tenant={tenant.tenant.slug}"
        soon(
            lambda: all(one["receipt_id"] for one in client.get(own).json()["data"]["offboardings"]),
            within_s=PATIENCE_S,
        )
        page = client.get("/v1/admin/receipts", params={"limit": 1}).json()["data"]
        following = client.get("/v1/admin/receipts", params={"cursor": page["next_cursor"]}).json()["data"]
    ids = [file["receipt"]["receipt_id"] for file in (*page["receipts"], *following["receipts"])]
    later = f"/console/receipts?cursor={page['next_cursor']}&after="
    shown = operator.see(f"{later}{ids[0]}")
    assert f"All {len(ids) - 1} verify" in shown
    assert "the first of them number 1, the last of the page before" in shown
    assert ids[0] not in re.findall(r'href="/console/receipts/([^"]+)"', shown)
    assert "The chain does not hold" in operator.see(f"{later}{ids[1]}")


def _wait_for(client: httpx.Client, dry_run: str) -> None:
    path = f"/v1/admin/offboardings/{dry_run}"
    soon(lambda: client.get(path).json()["data"]["state"] == "measured", within_s=PATIENCE_S)


def test_operations_of_one_tenant(worked: Api, operator: Visitor) -> None:
    """The tenant's page has the latest; a link leads to all of them and no other's."""
    tenant, other = worked.tenant(), worked.tenant()
    slug = tenant.tenant.slug
    asked = []
    with worked.operator() as client:
        for one, number in ((tenant, 6), (other, 1)):
            for _ in range(number):
                path = f"/v1/admin/tenants/{one.tenant.slug}/offboarding"
                made = client.post(path, json={"dry_run": True})
                assert made.status_code == 202
                asked.append(made.json()["data"]["offboarding"]["offboarding_id"])
                _wait_for(client, asked[-1])
    page = operator.see(f"/console/tenants/{slug}")
    assert asked[0] not in page
    assert f'href="/console/operations?tenant={slug}">All of its operations' in page
    every = operator.see(f"/console/operations?tenant={slug}")
    assert [one in every for one in asked] == [True] * 6 + [False]


def test_the_audit_log_has_pages(worked: Api, operator: Visitor) -> None:
    """The tenant's page has the latest, and leads to what was done before, page by page."""
    tenant = worked.tenant()
    slug = tenant.tenant.slug
    with worked.operator() as client:
        for number in range(70):
            path = f"/v1/admin/tenants/{slug}"
            assert client.patch(path, json={"name": f"name-{number}"}).status_code == 200
    pages = [operator.see(f"/console/tenants/{slug}")]
    while following := re.search(r'class="further"><a[^>]* href="(/console/audit[^"]+)"', pages[-1]):
        pages.append(operator.see(unescape(following[1])))
    told = [re.findall(r'data-label="What">([a-z_.]+)', page) for page in pages]
    assert [len(one) for one in told[:2]] == [12, 50]
    assert sum(map(len, told)) > 70
    assert "tenant.create" in told[-1]
    assert operator.see("/console/audit").count('data-label="What"') == 50
    assert operator.see("/console/audit?tenant=nobody-there", status=404)


def test_health(worked: Api, operator: Visitor) -> None:
    """What answers, what waits, and each finding with what to do."""
    assert "PostgreSQL" in operator.see("/console/health")
    page = soon(lambda: "orphan rows" in (seen := operator.see("/console/health/part")) and seen, PATIENCE_S)
    assert isinstance(page, str)
    for check in ("migrations", "row security", "leaf rights", "redis eviction", "orphan rows"):
        assert f'data-label="Check">{check}<' in page
    assert "agentflow-cloud doctor" in page
    assert "data-live" in operator.see("/console/health/part")
