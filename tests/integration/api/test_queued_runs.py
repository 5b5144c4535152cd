"""A tenant's queue has an end."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.api import Api, TenantKey, say

MOST = 5


@pytest.fixture
def client(api: Api, tenant: TenantKey) -> Iterator[httpx.Client]:
    with api.operator() as operator:
        path = f"/v1/admin/tenants/{tenant.tenant.slug}"
        changed = operator.patch(path, json={"limits": {"queued_runs": MOST}})
        assert changed.json()["data"]["limits"]["queued_runs"] == MOST
    with api.client(tenant) as client:
        yield client


def queue(client: httpx.Client, number: int, **headers: str) -> httpx.Response:
    return client.post(f"/v1/threads/t{number}/runs", json=say("hi", None, after_s=3600), headers=headers)


def queue_alone(client: httpx.Client, number: int) -> httpx.Response:
    """On a connection of its own: the client's pool has left one of many open now and then."""
    with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as own:
        return queue(own, number)


def test_it_is_full(client: httpx.Client) -> None:
    """Whoever races for the last places, exactly so many wait; others are told when to come again."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: queue_alone(client, number), range(16)))
    taken = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(taken), len(refused)) == (MOST, 16 - MOST)
    for answer in refused:
        error = answer.json()["error"]
        assert (error["code"], error["details"][0]["quota"]) == ("QUOTA_EXCEEDED", "queued-runs")
        assert (error["details"][0]["limit"], error["details"][0]["remaining"]) == (MOST, 0)
        assert int(answer.headers["retry-after"]) >= 1
    assert len(client.get("/v1/runs").json()["data"]["runs"]) == MOST
    # What is carried out at once does not wait, and is not refused.
    assert client.post("/a/echo/v1/graph/stream", json=say("hi", "other")).status_code == 200


def test_it_has_room_again(client: httpx.Client) -> None:
    """One that is cancelled waits no more. A refusal leaves its key free; repeating is no second run."""
    key = {"idempotency-key": "k"}
    first = [queue(client, number) for number in range(MOST - 1)]
    last = queue(client, 99, **key)
    assert last.status_code == 202
    assert queue(client, 99, **key).content == last.content
    assert queue(client, 100, **{"idempotency-key": "late"}).status_code == 429
    run = first[0].json()["data"]["run"]
    assert client.post(f"/v1/threads/t0/runs/{run['run_id']}/cancel", json={}).status_code == 200
    assert queue(client, 100, **{"idempotency-key": "late"}).status_code == 202
