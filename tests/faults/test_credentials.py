"""Who is let in while a store is away."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from agentflow_embedded import EmbeddedPostgres, EmbeddedValkey
from tests.support import databases
from tests.support.api import Api, running, running_api
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


def test_keys_are_revoked_under_load(migrated_database_url: str, redis_url: str) -> None:
    """On two replicas, while both keys of a tenant are in use on each: one is refused and stays so."""
    stop, begun = threading.Event(), threading.Barrier(9)
    with ExitStack() as stack:
        one = stack.enter_context(running_api(migrated_database_url, redis_url))
        other = Api(
            migrated_database_url,
            redis_url,
            AGENTFLOW_KEY_PEPPER=one.pepper,
            AGENTFLOW_OPERATOR_TOKEN=one.operator_token,
        )
        stack.enter_context(running(other))
        tenant = one.tenant()
        kept = one.tenant(tenant.tenant.slug)
        # One line for each client: the replica and the key it uses, in every pair twice.
        clients = [stack.enter_context(api.client(who)) for api in (one, other) for who in (tenant, kept)] * 2

        def ask(client: httpx.Client) -> list[int]:
            seen = [client.get(ROUTE).status_code]
            begun.wait(60)
            while not stop.is_set():
                seen.append(client.get(ROUTE).status_code)
            return seen

        pool = stack.enter_context(ThreadPoolExecutor(len(clients)))
        asking = [pool.submit(ask, client) for client in clients]
        try:
            begun.wait(60)
            with one.operator() as operator:
                path = f"/v1/admin/tenants/{tenant.tenant.slug}/keys/{tenant.key.split('_')[2]}"
                assert operator.delete(path).status_code == 200
            with one.client(tenant) as first, other.client(tenant) as second:
                soon(lambda: {first.get(ROUTE).status_code, second.get(ROUTE).status_code} == {401})
        finally:
            stop.set()
        for number, task in enumerate(asking):
            seen = task.result()
            if number % 2:
                assert set(seen) == {200}
            else:
                assert seen == sorted(seen), "let in again after it was refused"
                assert (seen[0], seen[-1]) == (200, 401)
