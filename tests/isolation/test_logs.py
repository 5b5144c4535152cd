"""Log lines tell whoever runs the service what went wrong, and nothing of what tenants said or hold."""

import json
import secrets
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, TenantKey, running, say
from tests.support.run import ROOT
from tests.support.waiting import soon
from tests.support.worker import running_worker


def test_no_word_of_a_tenant_and_no_secret_is_logged(
    migrated_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """At the finest level, of good requests, bad ones, refused ones, and of a node that quotes them."""
    canary = f"canary{secrets.token_hex(8)}"
    settings = {
        "AGENTFLOW_LOG_LEVEL": "DEBUG",
        "AGENTFLOW_AGENTS": AGENTS,
        "PYTHONPATH": str(ROOT),
        "QUOTED_KEY": f"{canary}-key",
    }
    api = Api(migrated_database_url, redis_url, **settings)
    api.log_file = tmp_path / "log"
    with running(api):
        tenant, other = api.tenant(), api.tenant()
        secret = say_it(api, tenant, canary)
        with api.client(other) as client:
            for path in ("", f"/{canary}", f"/{canary}/state", f"?search={canary}"):
                client.get(f"/v1/threads{path}")
    log = api.log_file.read_text()
    assert "RuntimeError" in log, "the node's failure is what whoever runs the service reads logs for"
    for word in (canary, tenant.key, other.key, api.operator_token, api.pepper, *secret):
        assert word not in log


def test_no_word_of_a_tenant_is_logged_by_the_worker(
    migrated_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """At the finest level, of runs that end well, that fail with their input, and whose address is silent."""
    canary = f"canary{secrets.token_hex(8)}"
    agents = {"AGENTFLOW_AGENTS": AGENTS, "PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with running(Api(migrated_database_url, redis_url, **agents)) as api, log.open("wb") as file:
        of_worker = {
            **agents,
            "AGENTFLOW_DATABASE_URL": databases.app_url(migrated_database_url),
            "AGENTFLOW_KEY_PEPPER": api.pepper,
            "AGENTFLOW_LOG_LEVEL": "DEBUG",
        }
        with running_worker(migrated_database_url, redis_url, file, **of_worker):
            tenant = api.tenant(f"{canary}-slug")
            with api.client(tenant) as client:
                for agent, status in (("echo", "success"), ("breaks", "error"), ("quotes", "error")):
                    body = {**say(f"It is {canary}.", None), "webhook": f"https://{canary}.invalid/{canary}"}
                    runs = f"/a/{agent}/v1/threads/{canary}-{agent}/runs"
                    made = client.post(runs, json=body)
                    assert made.is_success, made.text
                    run = f"/v1/threads/{canary}-{agent}/runs/{made.json()['data']['run']['run_id']}"

                    def told(run: str = run, status: str = status) -> bool:
                        found = client.get(run).json()["data"]["run"]
                        return (found["status"], found["webhook_status"]["attempts"] > 0) == (status, True)

                    soon(told, within_s=60)
    text = log.read_text()
    assert "RuntimeError" in text, "a node's failure is what whoever runs the service reads logs for"
    for word in (canary, tenant.key, api.operator_token, api.pepper):
        assert word not in text


def say_it(api: Api, tenant: TenantKey, canary: str) -> list[str]:
    """Say a word wherever a tenant can; the secrets that were given for it."""
    with api.client(tenant) as client:
        body = say(f"It is {canary}.", canary)
        body["config"] |= {"thread_name": canary, "thread_metadata": {"of": canary}}
        assert client.post("/a/echo/v1/graph/invoke", json=body).status_code == 200
        assert client.post("/a/echo/v1/graph/invoke", json={**body, "recursion_limit": canary}).is_error
        assert client.post("/a/breaks/v1/graph/invoke", json=body).status_code == 500
        assert client.post("/a/quotes/v1/graph/invoke", json=body).status_code == 500
        assert client.post("/a/quotes/v1/graph/stream", json=body).is_success
        _say_it_over_a_socket(api, tenant, body)
        assert client.post(f"/a/{canary}/v1/graph/invoke", json=body).status_code == 404
        assert client.post("/v1/graph/invoke", content=canary).status_code == 400
        assert client.get("/v1/threads", params={"search": canary, "limit": canary}).status_code == 422
        key = client.post("/v1/keys", json={"name": canary}).json()["data"]
        token = client.post("/v1/tokens", json={"user_id": canary}).json()["data"]["token"]
        issuer = {"issuer": f"https://{canary}.example", "audience": canary, "scopes": ["threads:read"]}
        assert client.post(
            "/v1/issuers", json={**issuer, "jwks_uri": f"https://{canary}.example/j"}
        ).is_success
        assert client.delete(f"/v1/keys/{key['key']['key_id']}").is_success
    with api.with_key(token) as bearer:
        assert bearer.get("/v1/threads").status_code == 200
    with api.with_key(key["api_key"]) as revoked:
        soon(lambda: revoked.get(f"/v1/threads/{canary}").status_code == 401)
    with api.with_key(f"{token}{canary}") as forged:
        assert forged.get("/v1/threads").status_code == 401
    return [key["api_key"], key["api_key"].split("_")[3], token, token.split(".")[2]]


def _say_it_over_a_socket(api: Api, tenant: TenantKey, body: dict[str, Any]) -> None:
    """With the key where a browser can put it."""
    url = f"{api.base_url.replace('http', 'ws')}/a/quotes/v1/graph/ws"
    offered = [Subprotocol("agentflow-bearer"), Subprotocol(tenant.key)]
    for where, subprotocols in ((url, offered), (f"{url}?token={tenant.key}", None)):
        with connect(where, subprotocols=subprotocols) as socket:
            socket.send(json.dumps({"invoke_type": "fresh", **body}))
            while json.loads(socket.recv())["event"] != "error":
                pass
