"""How large a tenant's messages, states and threads may be: set by the operator, said by the refusal."""

from typing import Any

import httpx
import pytest

from agentflow.storage.checkpointer import Limits as Sizes
from tests.support.api import Api, TenantKey, say
from tests.support.waiting import soon


def limited(api: Api, tenant: TenantKey, **limits: int) -> None:
    """Change a tenant's own limits, as its operator does."""
    with api.operator() as operator:
        changed = operator.patch(f"/v1/admin/tenants/{tenant.tenant.slug}", json={"limits": limits})
    assert changed.status_code == 200, changed.text
    assert changed.json()["data"]["own_limits"] == limits


def detail(answer: httpx.Response) -> dict[str, Any]:
    """What a 413 says, after a look at its words."""
    assert answer.status_code == 413, answer.text
    error = answer.json()["error"]
    found: dict[str, Any] = error["details"][0]
    assert (found["msg"], found["type"]) == (error["message"], "too_large")
    return found


def added(client: httpx.Client, text: str, thread: str = "t") -> httpx.Response:
    return client.post(f"/v1/threads/{thread}/messages", json={"messages": say(text)["messages"]})


def test_a_message(api: Api, tenant: TenantKey) -> None:
    """Within a second of the change, however it comes in; what others may send is as before."""
    with api.client(tenant) as client, api.client(api.tenant()) as neighbour:
        assert added(client, "x" * 2000).status_code == 200
        limited(api, tenant, message_bytes=1000)
        soon(lambda: added(client, "x" * 2000).status_code == 413)
        found = detail(added(client, "x" * 2000))
        assert found["loc"] == ["limit", "message_bytes"]
        assert found["limit"] == 1000
        assert 2000 < found["size"] < 2100
        assert detail(client.post("/a/echo/v1/graph/invoke", json=say("x" * 2000)))["limit"] == 1000
        state = {"state": {"context": say("x" * 2000)["messages"]}}
        assert detail(client.put("/v1/threads/t/state", json=state))["limit"] == 1000
        assert len(client.get("/v1/threads/t/messages").json()["data"]["messages"]) >= 1
        assert added(neighbour, "x" * 2000).status_code == 200
        assert added(client, "short").status_code == 200


def test_a_state(api: Api, tenant: TenantKey) -> None:
    """Its fields without its messages."""
    limited(api, tenant, state_bytes=600)
    with api.client(tenant) as client:
        soon(lambda: client.get("/v1/threads").status_code == 200)
        assert added(client, "x" * 2000).status_code == 200
        big = {"state": {"context_summary": "x" * 800}}
        soon(lambda: client.put("/v1/threads/t/state", json=big).status_code == 413)
        found = detail(client.put("/v1/threads/t/state", json=big))
        assert (found["loc"], found["limit"]) == (["limit", "state_bytes"], 600)


def test_a_threads_messages(api: Api, tenant: TenantKey) -> None:
    """Those that left the context count; another thread has room."""
    limited(api, tenant, thread_messages=3)
    with api.client(tenant) as client:
        soon(lambda: [added(client, "x", "probe").status_code for _ in range(4)][-1] == 413)
        made = [added(client, text) for text in "abc"]
        assert [answer.status_code for answer in made] == [200, 200, 200]
        gone = made[-1].json()["data"]["data"]["message_ids"][0]
        deleted = client.request("DELETE", f"/v1/threads/t/messages/{gone}", json={})
        assert deleted.status_code == 200
        full = added(client, "d")
        assert full.json()["error"]["code"] == "THREAD_FULL"
        found = detail(full)
        assert (found["loc"], found["limit"], found["size"]) == (["limit", "thread_messages"], 3, 4)


def test_a_keys_own_limit(api: Api, tenant: TenantKey) -> None:
    """It holds for what comes by the key; plans have their own; and the service's own limit stays."""
    with api.client(tenant) as client:
        made = client.post("/v1/keys", json={"limits": {"message_bytes": 500}}).json()["data"]
        with api.with_key(made["api_key"]) as narrow:
            assert detail(added(narrow, "x" * 1000))["limit"] == 500
        assert added(client, "x" * 1000).status_code == 200
        limited(api, tenant, message_bytes=10**9)
        hard = Sizes().max_message_bytes
        soon(lambda: detail(added(client, "x" * (hard + 1)))["limit"] == hard)
        with api.operator() as operator:
            changes = {"plan": "free", "limits": None}
            assert operator.patch(f"/v1/admin/tenants/{tenant.tenant.slug}", json=changes).is_success
        soon(lambda: added(client, "x" * 300_000).status_code == 413)
        assert detail(added(client, "x" * 300_000))["limit"] == 256 * 1024


@pytest.mark.parametrize("limits", [{"message_bytes": -1}, {"message_byte": 1}, {"state_bytes": 1.5}])
def test_what_is_no_limit(api: Api, tenant: TenantKey, limits: dict[str, Any]) -> None:
    """422, and nothing changes."""
    with api.operator() as operator:
        where = f"/v1/admin/tenants/{tenant.tenant.slug}"
        assert operator.patch(where, json={"limits": limits}).status_code == 422
        assert operator.get(where).json()["data"]["own_limits"] == {}
