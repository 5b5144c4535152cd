"""Who is let in while a store is away."""

import time

import pytest

from agentflow_embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support import databases
from tests.support.api import running_api
from tests.support.waiting import soon

pytestmark = [pytest.mark.own_server, pytest.mark.slow]

# Asks for a credential and for nothing that is stored.
ROUTE = "/v1/graph"


def test_a_revoked_key_is_refused_without_redis(
    migrated_database_url: str, own_valkey: EmbeddedValkey
) -> None:
    """Within the same second: nothing of a credential is kept there."""
    with running_api(migrated_database_url, own_valkey.url) as api:
        tenant, other = api.tenant(), api.tenant()
        with api.client(tenant) as client, api.client(other) as neighbour, api.operator() as operator:
            assert client.get(ROUTE).status_code == 200
            own_valkey.kill()
            soon(lambda: client.get(ROUTE).status_code == 200, within_s=10)
            keys = f"/v1/admin/tenants/{tenant.tenant.slug}/keys"
            assert operator.delete(f"{keys}/{tenant.key.split('_')[2]}").status_code == 200
            soon(lambda: client.get(ROUTE).status_code == 401)
            assert neighbour.get(ROUTE).status_code == 200


def test_without_postgres_a_key_in_use_is_good_for_a_second(
    own_postgres: EmbeddedPostgres, redis_url: str
) -> None:
    """Then 503 with Retry-After, and never 401: it may be good."""
    databases.migrate(own_postgres.url)
    with running_api(own_postgres.url, redis_url) as api:
        tenant = api.tenant()
        with api.client(tenant) as client:
            assert client.get(ROUTE).status_code == 200
            own_postgres.kill()
            away_at = time.monotonic()
            seen = [client.get(ROUTE).status_code]
            while time.monotonic() < away_at + 1.5:
                seen.append(client.get(ROUTE).status_code)
            assert set(seen) <= {200, 503}
            refused = client.get(ROUTE)
            assert refused.status_code == 503
            assert refused.headers["retry-after"] == "1"
            own_postgres.start()
            soon(lambda: client.get(ROUTE).status_code == 200, within_s=30)
