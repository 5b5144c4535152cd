"""A tenant's keys: making, rotating, revoking, and what each may do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.api import Api, TenantKey
from tests.support.waiting import soon


def status_with(api: Api, key: str) -> int:
    with api.with_key(key) as client:
        return client.get("/v1/threads").status_code


def made(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/keys", json=body)
    assert answer.status_code == 201, answer.text
    data: dict[str, Any] = answer.json()["data"]
    return data


def test_a_key_is_shown_once(api: Api, tenant: TenantKey) -> None:
    """Afterwards its id, name, scopes and times only."""
    with api.client(tenant) as client:
        new = made(client, name="ci", scopes=["threads:read"])
        assert status_with(api, new["api_key"]) == 200
        shown = client.get("/v1/keys").text + client.get(f"/v1/keys/{new['key']['key_id']}").text
        assert new["api_key"] not in shown
        assert new["api_key"].split("_")[3] not in shown
        one = client.get(f"/v1/keys/{new['key']['key_id']}").json()["data"]
        assert (one["name"], one["scopes"], one["state"]) == ("ci", ["threads:read"], "active")


def test_a_key_gives_no_more_than_it_has(api: Api, tenant: TenantKey) -> None:
    """Neither scopes, nor limits above its own; and without keys:admin it gives none."""
    with api.client(tenant) as client:
        admin = made(client, scopes=["keys:admin", "threads:read"], limits={"threads": 5})
        reader = made(client, scopes=["threads:read"])
    with api.with_key(admin["api_key"]) as client:
        assert client.post("/v1/keys", json={"scopes": ["threads:write"]}).status_code == 403
        assert made(client)["key"]["scopes"] == ["keys:admin", "threads:read"]
        child = made(client, scopes=["threads:read"], limits={"threads": 9, "burst": 1})
        assert child["key"]["limits"] == {"threads": 5, "burst": 1}
        first = client.get("/v1/keys").json()["data"]["keys"]
        wider = next(key for key in first if "tenant:admin" in key["scopes"])
        assert client.post(f"/v1/keys/{wider['key_id']}/rotate").status_code == 403
    with api.with_key(reader["api_key"]) as client:
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("GET", "/x"),
            ("POST", "/x/rotate"),
            ("DELETE", "/x"),
        ):
            assert client.request(method, f"/v1/keys{path}").status_code == 403


def test_rotation_overlaps(api: Api, tenant: TenantKey) -> None:
    """Both work, then only the new one; the old one is rotated once."""
    with api.client(tenant) as client:
        old = made(client, name="app", scopes=["threads:read"])
        path = f"/v1/keys/{old['key']['key_id']}/rotate"
        turned = client.post(path, json={"overlap_s": 3600})
        assert turned.status_code == 201
        new = turned.json()["data"]
        assert new["replaced"]["state"] == "rotated"
        assert new["replaced"]["replaced_by"] == new["key"]["key_id"]
        assert (new["key"]["name"], new["key"]["scopes"]) == ("app", ["threads:read"])
        assert status_with(api, old["api_key"]) == status_with(api, new["api_key"]) == 200
        assert client.post(path).status_code == 409
        at_once = client.post(f"/v1/keys/{new['key']['key_id']}/rotate", json={"overlap_s": 0}).json()["data"]
        soon(lambda: status_with(api, new["api_key"]) == 401)
        assert status_with(api, at_once["api_key"]) == 200


def test_a_revoked_key_is_refused_on_every_replica(api: Api, tenant: TenantKey) -> None:
    """Within a second, for good."""
    other = Api(api.database_url, None, AGENTFLOW_KEY_PEPPER=api.pepper)
    other.start()
    try:
        with api.client(tenant) as client:
            new = made(client, scopes=["threads:read"])
            for replica in (api, other):
                assert status_with(replica, new["api_key"]) == 200
            assert client.delete(f"/v1/keys/{new['key']['key_id']}").status_code == 200
            for replica in (other, api):
                soon(lambda replica=replica: status_with(replica, new["api_key"]) == 401)  # type: ignore[misc]
            assert client.get(f"/v1/keys/{new['key']['key_id']}").json()["data"]["state"] == "revoked"
            assert client.post(f"/v1/keys/{new['key']['key_id']}/rotate").status_code == 409
    finally:
        other.stop()


def test_a_key_ends_by_itself(api: Api, tenant: TenantKey) -> None:
    """At its time; one that lies in the past is refused."""
    with api.client(tenant) as client:
        soon_over = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        new = made(client, scopes=["threads:read"], expires_at=soon_over)
        soon(lambda: status_with(api, new["api_key"]) == 401, within_s=4)
        assert client.get(f"/v1/keys/{new['key']['key_id']}").json()["data"]["state"] == "expired"
        assert client.post("/v1/keys", json={"expires_at": "2001-01-01T00:00:00Z"}).status_code == 422


def test_the_last_use_is_noted(api: Api, tenant: TenantKey) -> None:
    """Not on the request's own way, and to about a minute."""
    with api.client(tenant) as client:
        new = made(client, scopes=["threads:read"])
        path = f"/v1/keys/{new['key']['key_id']}"
        assert client.get(path).json()["data"]["last_used_at"] is None
        assert status_with(api, new["api_key"]) == 200
        soon(lambda: client.get(path).json()["data"]["last_used_at"] is not None, within_s=8)


def test_a_foreign_key_is_a_missing_one(api: Api, tenant: TenantKey) -> None:
    """On every route that takes one."""
    foreign = api.tenant()
    with api.client(foreign) as client:
        theirs = client.get("/v1/keys").json()["data"]["keys"][0]["key_id"]
    with api.client(tenant) as client:
        for key_id in (theirs, "0" * 12, "x", "%27", "a" * 400):
            for method, path in (("GET", ""), ("POST", "/rotate"), ("DELETE", "")):
                answer = client.request(method, f"/v1/keys/{key_id}{path}")
                assert answer.status_code == 404
                assert answer.json()["error"]["message"] == "There is no such key."
    assert status_with(api, foreign.key) == 200


@pytest.mark.parametrize(
    "body",
    [{"scopes": []}, {"scopes": ["root"]}, {"scopes": "threads:read"}, {"name": "x" * 201},
     {"limits": {"x": 1}}, {"expires_at": "soon"}, {"tenant_id": "x"}, {"name": "a\0b"}],
)  # fmt: skip
def test_what_is_no_key_is_refused(api: Api, tenant: TenantKey, body: dict[str, Any]) -> None:
    with api.client(tenant) as client:
        assert client.post("/v1/keys", json=body).status_code == 422
        assert len(client.get("/v1/keys").json()["data"]["keys"]) == 1


def test_pages_of_keys(api: Api, tenant: TenantKey) -> None:
    """Every key once."""
    with api.client(tenant) as client:
        names = {made(client, scopes=["threads:read"])["key"]["key_id"] for _ in range(4)}
        found: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = client.get("/v1/keys", params=query).json()["data"]
            found += [key["key_id"] for key in page["keys"]]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert len(found) == 5
        assert names < set(found)


def test_the_operator_administers_any_tenants_keys(api: Api, tenant: TenantKey) -> None:
    """By the same rules."""
    path = f"/v1/admin/tenants/{tenant.tenant.slug}/keys"
    with api.operator() as operator:
        new = operator.post(path, json={"scopes": ["threads:read"]}).json()["data"]
        assert status_with(api, new["api_key"]) == 200
        key_id = new["key"]["key_id"]
        turned = operator.post(f"{path}/{key_id}/rotate", json={"overlap_s": 60}).json()["data"]
        assert status_with(api, turned["api_key"]) == 200
        assert operator.delete(f"{path}/{key_id}").json()["data"]["state"] == "revoked"
        assert len(operator.get(path).json()["data"]["keys"]) == 3
        assert operator.get("/v1/admin/tenants/missing/keys").status_code == 404


def test_a_repeated_request_makes_one_key(api: Api, tenant: TenantKey) -> None:
    """The same secret is told again, though it is stored nowhere."""
    again = {"idempotency-key": "new-key"}
    with api.client(tenant) as client:
        first, second = (client.post("/v1/keys", json={"name": "ci"}, headers=again) for _ in range(2))
        assert first.status_code == second.status_code == 201
        assert first.json()["data"]["api_key"] == second.json()["data"]["api_key"]
        key = first.json()["data"]["key"]
        assert [one["name"] for one in client.get("/v1/keys").json()["data"]["keys"]].count("ci") == 1
        assert client.post("/v1/keys", json={"name": "other"}, headers=again).status_code == 422
        rotated, same = (
            client.post(f"/v1/keys/{key['key_id']}/rotate", headers={"idempotency-key": "turn"})
            for _ in range(2)
        )
        assert rotated.status_code == same.status_code == 201, same.text
        assert rotated.json()["data"]["api_key"] == same.json()["data"]["api_key"]
        assert status_with(api, rotated.json()["data"]["api_key"]) == 200
        assert made(client)["api_key"] != made(client)["api_key"]
