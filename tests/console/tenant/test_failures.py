"""What failed inside: a page of the console all the same, with the fields of all, that tells nothing more."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from agentflow_api.console.edge import HEADERS
from tests.support import databases
from tests.support.agents import SECRET
from tests.support.api import Api, TenantKey
from tests.support.console import Visitor


@contextmanager
def keyless(api: Api) -> Iterator[None]:
    """The service's database has lost a table for a while."""
    databases.execute(api.database_url, "ALTER TABLE agentflow_api_keys RENAME TO agentflow_hidden")
    try:
        yield
    finally:
        databases.execute(api.database_url, "ALTER TABLE agentflow_hidden RENAME TO agentflow_api_keys")


def assert_is_the_consoles(answer: httpx.Response) -> None:
    assert answer.status_code == 500
    assert answer.headers.items() >= HEADERS.items()
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>Something went wrong</h1>" in answer.text
    assert 'role="alert"' in answer.text
    assert re.search(r"500 · request <code>[\w-]+</code>", answer.text)
    assert "agentflow_" not in answer.text
    assert SECRET not in answer.text


def test_an_agent_that_fails(admin: Visitor) -> None:
    """A form that the API answers with 500."""
    admin.see("/console/chat")
    assert_is_the_consoles(admin.send("/console/chat", text="hi", agent="breaks", repeat="a" * 32))


def test_a_page_of_a_database_that_is_not_whole(api: Api, tenant: TenantKey, operator: Visitor) -> None:
    """Asked for by the page of the API; what a script asks for stays JSON."""
    slug = tenant.tenant.slug
    mine = {"x-form-token": operator.form_token}
    with keyless(api):
        assert_is_the_consoles(operator.client.get(f"/console/tenants/{slug}"))
        told = operator.client.get(f"/console/api/v1/admin/tenants/{slug}/keys", headers=mine)
    assert (told.status_code, told.headers["content-type"]) == (500, "application/json")
    assert told.headers.items() >= HEADERS.items()


def test_signing_in_there(api: Api, tenant: TenantKey, anybody: Visitor) -> None:
    """Asked for by the page itself."""
    with keyless(api):
        assert_is_the_consoles(anybody.sign_in(tenant.key))
