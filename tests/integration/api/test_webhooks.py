"""Webhooks over HTTP: who sees the secret, which addresses are taken, and what a run shows."""

import httpx
import pytest

from agentflow_tenancy import ALL_SCOPES
from tests.support.api import Api

SECRET = "/v1/webhook-secret"
ASKED = {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}


def test_a_tenant_sees_its_secret(api: Api) -> None:
    """The same each time, another one for each tenant, never for a cache to keep."""
    one, two = api.tenant(), api.tenant()
    with api.client(one) as client, api.client(two) as other:
        answer = client.get(SECRET)
        secret = answer.json()["data"]["secret"]
        assert secret.startswith("whsec_")
        assert answer.headers["cache-control"] == "no-store"
        assert client.get(SECRET).json()["data"]["secret"] == secret
        assert other.get(SECRET).json()["data"]["secret"] != secret


def test_it_asks_for_a_scope(api: Api) -> None:
    """`tenant:admin`; others learn nothing."""
    scopes = tuple(scope for scope in ALL_SCOPES if scope != "tenant:admin")
    with api.client(api.tenant(scopes=scopes)) as client:
        answer = client.get(SECRET)
    assert answer.status_code == 403
    assert "whsec_" not in answer.text
    assert httpx.get(api.base_url + SECRET).status_code == 401


@pytest.mark.parametrize("url", ["http://example.com/x", "https://u:p@example.com", "ftp://example.com", "x"])
def test_addresses_that_are_not_told(api: Api, url: str) -> None:
    """422, and no run is made."""
    with api.client(api.tenant()) as client:
        for route in ("", "/wait", "/stream"):
            answer = client.post(f"/v1/threads/t/runs{route}", json={**ASKED, "webhook": url})
            assert answer.status_code == 422
            assert answer.json()["error"]["details"][0]["loc"] == ["body", "webhook"]
        assert client.get("/v1/runs").json()["data"]["runs"] == []


def test_a_run_shows_how_telling_went(api: Api) -> None:
    """None without an address; before it was told, no attempt."""
    with api.client(api.tenant()) as client:
        plain = client.post("/v1/threads/t/runs", json=ASKED).json()["data"]["run"]
        assert (plain["webhook"], plain["webhook_status"]) == (None, None)
        asked = {**ASKED, "webhook": "https://hooks.example/agentflow", "after_s": 3600}
        told = client.post("/v1/threads/t/runs", json=asked).json()["data"]["run"]
        assert told["webhook"] == "https://hooks.example/agentflow"
        assert told["webhook_status"] == {
            "attempts": 0,
            "last_status": None,
            "last_error": None,
            "last_at": None,
            "delivered_at": None,
        }
