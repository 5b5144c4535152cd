"""Who looks at the console in a browser, and what there is for them to see: something on every page."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, running_api, say
from tests.support.canaries import canary
from tests.support.run import ROOT, Servers
from tests.support.waiting import soon
from tests.support.worker import running_worker
from tests.support.written_agents import WRITTEN_AGENTS

OTHERS: Final = "canary-of-the-neighbour"
# A guard against waiting for ever, not a measure.
PATIENCE_S: Final = 60.0
_READS: Final = ["threads:read", "usage:read"]


@dataclass
class People:
    """Who looks, by what they paste; `slug` is the tenant of the last two."""

    api: Api
    slug: str
    operator: str
    admin: str
    reader: str

    @property
    def base_url(self) -> str:
        """Of the service."""
        return self.api.base_url


@contextmanager
def people_of(servers: Servers, template: str) -> Iterator[People]:
    """A service with a worker, and two tenants that have conversations; a third one left, with a receipt."""
    name = databases.new_name("browser")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        environment = {"AGENTFLOW_AGENTS": f"{AGENTS},{WRITTEN_AGENTS}", "PYTHONPATH": str(ROOT)}
        with running_api(url, servers.redis_url, **environment) as api:
            worked = {
                "AGENTFLOW_DATABASE_URL": databases.app_url(url),
                "AGENTFLOW_KEY_PEPPER": api.pepper,
                "AGENTFLOW_EXPORTS": str(api.exports),
                **environment,
            }
            with running_worker(url, servers.redis_url, **worked):
                yield _people(api)
    finally:
        databases.drop(servers.database_url, name)


def _people(api: Api) -> People:
    admin = _tenant(api, "acme", canary("tenant"))
    with api.with_key(admin) as client:
        _converse(client, canary)
        _scribble(client)
        reader = _data(client.post("/v1/keys", json={"name": canary("key"), "scopes": _READS}))["api_key"]
        asked = _data(client.post("/v1/exports", json={"thread_id": canary("thread")}))["export"]
        _until(client, f"/v1/exports/{asked['export_id']}", "done")
    neighbours = _tenant(api, "neighbour", OTHERS)
    with api.with_key(neighbours) as client:
        _converse(client, lambda _field: OTHERS)
    with api.operator() as operator:
        _have_moved(operator, "neighbour")
        _have_left(operator, _tenant(api, "gone", "Gone"))
    return People(api, "acme", api.operator_token, admin, reader)


def _tenant(api: Api, slug: str, name: str) -> str:
    """Make one; its key."""
    with api.operator() as client:
        made = _data(client.post("/v1/admin/tenants", json={"slug": slug, "name": name}))
    key: str = made["api_key"]
    return key


def _converse(client: httpx.Client, words: Callable[[str], str]) -> None:
    """Threads that are idle, that wait for answers and that failed, with these words in their fields."""
    for agent, thread in (("memory", "talk"), ("memory", "talk"), ("panel", "asked"), ("breaks", "broken")):
        body: dict[str, Any] = say(words("message"), thread)
        body["config"] |= {"thread_name": words("name"), "thread_metadata": {words("meta"): words("data")}}
        client.post(f"/a/{agent}/v1/graph/invoke", json=body)
    assert len(_data(client.get("/v1/threads"))["threads"]) == 3


def _scribble(client: httpx.Client) -> None:
    """Threads whose id, user, node, message, state and question are such words; one failed with them."""
    minted = _data(client.post("/v1/tokens", json={"user_id": canary("user")}))
    mine = {"authorization": f"Bearer {minted['token']}"}
    for agent, thread in (("scribbles", canary("thread")), ("wonders", canary("asking"))):
        said = client.post(f"/a/{agent}/v1/graph/invoke", json=say(canary("message"), thread), headers=mine)
        assert said.status_code == 200, said.text
    failed = client.post("/a/complains/v1/graph/invoke", json=say(canary("failure"), canary("failed")))
    assert failed.status_code == 500


def _have_moved(operator: httpx.Client, slug: str) -> None:
    body = {"placement": "dedicated", "reason": canary("reason")}
    asked = _data(operator.post(f"/v1/admin/tenants/{slug}/placement", json=body))["operation"]
    _until(operator, f"/v1/admin/operations/{asked['operation_id']}", "done")


def _have_left(operator: httpx.Client, key: str) -> None:
    path = "/v1/admin/tenants/gone/offboarding"
    hello = operator.post(
        "/v1/graph/invoke", json=say("bye", "t"), headers={"authorization": f"Bearer {key}"}
    )
    assert hello.status_code == 200, hello.text
    for body, state in (({"dry_run": True}, "measured"), ({"grace_s": 0}, "purged")):
        asked = _data(operator.post(path, json=body))["offboarding"]
        _until(operator, f"/v1/admin/offboardings/{asked['offboarding_id']}", state)


def _until(client: httpx.Client, path: str, state: str) -> None:
    soon(lambda: _data(client.get(path))["state"] == state, within_s=PATIENCE_S)


def _data(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()["data"]
