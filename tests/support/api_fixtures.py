"""One API for the tests of a process; each test makes tenants of its own."""

from collections.abc import Iterator

import pytest

from tests.support import databases
from tests.support.api import Api, TenantKey, running_api
from tests.support.run import Servers


@pytest.fixture(scope="session")
def api(servers: Servers, template: str) -> Iterator[Api]:
    name = databases.new_name("api")
    databases.create(servers.database_url, name, template)
    try:
        with running_api(databases.url_of(servers.database_url, name), servers.redis_url) as running:
            yield running
    finally:
        databases.drop(servers.database_url, name)


@pytest.fixture
def tenant(api: Api) -> TenantKey:
    return api.tenant()
