"""A service with agents that ask, use tools and fail; and browsers of a tenant's keys."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, TenantKey, running_api
from tests.support.console import Visitor, visitor
from tests.support.openai_stub import OpenAIStub
from tests.support.run import ROOT, Servers


@pytest.fixture(scope="module")
def model() -> Iterator[OpenAIStub]:
    with OpenAIStub() as stub:
        yield stub


@pytest.fixture(scope="module")
def api(servers: Servers, template: str, model: OpenAIStub) -> Iterator[Api]:
    """Of a module: each test makes a tenant of its own."""
    environment = {
        "AGENTFLOW_AGENTS": f"{AGENTS},traced=tests.support.traced_agent:graph",
        "AGENTFLOW_TEST_MODEL_URL": model.base_url,
        "PYTHONPATH": str(ROOT),
    }
    name = databases.new_name("console")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        with running_api(url, servers.redis_url, **environment) as running:
            yield running
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    """The tenant's own program."""
    with api.client(tenant) as client:
        yield client


@pytest.fixture
def signed_in(api: Api) -> Iterator[Callable[[str], Visitor]]:
    """Makes a browser that is signed in with a key."""
    with ExitStack() as stack:

        def browser(key: str) -> Visitor:
            one = stack.enter_context(visitor(api.base_url))
            assert one.sign_in(key).status_code == 303
            return one

        yield browser


@pytest.fixture
def admin(signed_in: Callable[[str], Visitor], tenant: TenantKey) -> Visitor:
    """A browser of a key that may do everything."""
    return signed_in(tenant.key)


@pytest.fixture
def reader(signed_in: Callable[[str], Visitor], client: httpx.Client) -> Visitor:
    """A browser of a key of the same tenant that may only read threads."""
    made = client.post("/v1/keys", json={"name": "reader", "scopes": ["threads:read"]})
    return signed_in(made.json()["data"]["api_key"])
