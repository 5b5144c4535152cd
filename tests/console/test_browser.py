"""Every page that links lead to, in a real browser: as the operator, as a tenant's admin, as one who reads.

The pages are found as people find them, so one that is added later is walked too.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, running_api, say
from tests.support.browser import DESKTOP, PHONE, Looker, chromium, looker
from tests.support.run import ROOT, Servers

# What a script would need to run, were any of it taken for markup.
XSS = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"><svg onload=alert(3)>{{7*7}}"
OTHERS = "canary-of-the-neighbour"
# As many pages of one kind as show what is different between two of them.
OF_A_KIND = 2
_IDS = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/)\d+(?=/|$)|(?<=/tenants/)(?!new\b)[^/]+|(?<=/threads/)[^/]+"
)


@dataclass
class People:
    """Who looks, by what they paste; `slug` is the tenant of the last two."""

    base_url: str
    slug: str
    operator: str
    admin: str
    reader: str


@pytest.fixture(scope="module")
def people(servers: Servers, template: str) -> Iterator[People]:
    """A service of this module's own, with two tenants that have conversations."""
    name = databases.new_name("browser")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        environment = {"AGENTFLOW_AGENTS": AGENTS, "PYTHONPATH": str(ROOT)}
        with running_api(url, servers.redis_url, **environment) as api:
            yield _people(api)
    finally:
        databases.drop(servers.database_url, name)


def _people(api: Api) -> People:
    admin = _tenant(api, "acme", XSS)
    _tenant(api, "neighbour", OTHERS)
    with api.with_key(admin) as client:
        made = client.post("/v1/keys", json={"name": XSS, "scopes": ["threads:read", "usage:read"]})
        assert made.status_code == 201, made.text
    return People(api.base_url, "acme", api.operator_token, admin, made.json()["data"]["api_key"])


def _tenant(api: Api, slug: str, words: str) -> str:
    """Make a tenant whose every field has these words; its key."""
    with api.operator() as client:
        made = client.post("/v1/admin/tenants", json={"slug": slug, "name": words})
        assert made.status_code == 201, made.text
    key: str = made.json()["data"]["api_key"]
    with api.with_key(key) as client:
        for agent, thread in (
            ("memory", "talk"),
            ("memory", "talk"),
            ("panel", "asked"),
            ("breaks", "broken"),
        ):
            body: dict[str, Any] = say(words, f"{thread}-of-{slug}")
            body["config"] |= {"thread_name": words, "thread_metadata": {words: words}}
            client.post(f"/a/{agent}/v1/graph/invoke", json=body)
        assert len(client.get("/v1/threads").json()["data"]["threads"]) == 3
    return key


@pytest.fixture(scope="module")
def browser(people: People) -> Iterator[Browser]:  # which uses asyncio before this does
    """One browser; each test has cookies of its own."""
    with chromium() as one:
        yield one


def _walk(one: Looker, start: str, never: str | None = None) -> dict[str, int]:
    """Follow the links from a page, and look closely at each; how many of each kind there were.

    `never` stands on none of them.
    """
    seen: dict[str, int] = {}
    done: set[str] = set()
    waiting = deque([start])
    while waiting:
        path = waiting.popleft()
        kind = _IDS.sub("*", path.partition("?")[0])
        if path in done or seen.get(kind, 0) >= OF_A_KIND:
            continue
        done.add(path)
        seen[kind] = seen.get(kind, 0) + 1
        answer = one.see(path)
        assert answer.status == 200, (path, answer.status, one.page.inner_text("body"))
        one.assert_clean()
        assert never is None or never not in one.page.content(), path
        _look_closely(one)
        waiting.extend(one.links())
    return seen


def _look_closely(one: Looker) -> None:
    """For those who see badly, by both sets of colours, and on a phone."""
    one.page.set_viewport_size(PHONE)
    one.assert_fits()
    one.page.set_viewport_size(DESKTOP)
    one.assert_accessible()
    one.page.emulate_media(color_scheme="dark")
    one.assert_accessible("color-contrast")
    one.page.emulate_media(color_scheme="light")


def test_the_operators_pages(browser: Browser, people: People) -> None:
    """All that the navigation leads to, and all tenants' pages; nothing that a tenant wrote runs."""
    with looker(browser, people.base_url, people.operator) as one:
        seen = _walk(one, "/console/tenants")
    assert {
        f"/console/{page}" for page in ("tenants", "placement", "operations", "receipts", "health")
    } <= set(seen)
    assert "/console/tenants/*" in seen


@pytest.mark.parametrize("who", ["admin", "reader"])
def test_a_tenants_pages(browser: Browser, people: People, who: str) -> None:
    """Theirs alone: the other tenant stands nowhere."""
    with looker(browser, people.base_url, getattr(people, who)) as one:
        seen = _walk(one, "/console/home", never=OTHERS)
    assert {"/console/home", "/console/threads", "/console/threads/*"} <= set(seen)
