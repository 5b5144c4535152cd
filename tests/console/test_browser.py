"""Every page that links lead to, in a real browser: as the operator, as a tenant's admin, as one who reads.

The pages are found as people find them, so one that is added later is walked too.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.support import databases
from tests.support.agents import AGENTS
from tests.support.api import Api, running_api, say
from tests.support.browser import DESKTOP, PHONE, Looker, chromium, looker
from tests.support.run import ROOT, Servers
from tests.support.worker import running_worker

# What a script would need to run, were any of it taken for markup.
XSS = "<img src=x onerror=alert(1)><script>alert(2)</script>'\"><svg onload=alert(3)>{{7*7}}"
OTHERS = "canary-of-the-neighbour"
# Of a page with all that it needs.
MOST_BYTES = 150_000
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
    """A service with a worker, of this module's own, and two tenants that have conversations."""
    name = databases.new_name("browser")
    databases.create(servers.database_url, name, template)
    try:
        url = databases.url_of(servers.database_url, name)
        environment = {"AGENTFLOW_AGENTS": AGENTS, "PYTHONPATH": str(ROOT)}
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
    """For those who see badly, by both sets of colours, on a phone, and over a slow line."""
    one.assert_light(MOST_BYTES)
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


def test_a_tenant_is_made_moved_and_leaves(browser: Browser, people: People) -> None:
    """By the operator's clicks alone; what goes on is seen as it does, without loading the page anew."""
    with looker(browser, people.base_url, people.operator) as one:
        page = one.page
        page.get_by_role("link", name="New tenant").click()
        page.get_by_label("Slug").fill("passing")
        page.get_by_role("button", name="Make it").click()
        mine = {"authorization": f"Bearer {page.locator('#api-key').inner_text()}"}
        said = httpx.post(f"{people.base_url}/v1/graph/invoke", json=say("hello", "t"), headers=mine)
        assert said.status_code == 200
        page.get_by_role("link", name="To the tenant").click()

        page.get_by_label("Why").fill(XSS)
        page.get_by_role("button", name="Move while it works").click()
        _watch(one, "#operation", "done")
        expect(page.locator("#operation")).to_contain_text(XSS)

        one.see("/console/tenants/passing")
        expect(page.locator("dl.facts").first).to_contain_text("(own)")
        page.get_by_role("link", name="Offboard").click()
        page.get_by_label("Type passing to confirm").fill("passing")
        page.get_by_role("button", name="Offboard").click()
        _watch(one, "#offboarding", "grace")
        page.reload()
        page.get_by_role("button", name="Skip the grace").click()
        _watch(one, "#offboarding", "purged")
        page.locator("#offboarding a").click()
        expect(page.get_by_text("It verifies")).to_be_visible()
    assert httpx.get(f"{people.base_url}/v1/threads", headers=mine).status_code == 410


def _watch(one: Looker, part: str, state: str) -> None:
    """A page's live part comes to a state, and the page is the one that it was."""
    one.page.locator(part).wait_for()
    one.page.evaluate("window.stayed = true")
    one.page.locator(f"{part} .badge", has_text=re.compile(f"^{state}$")).wait_for()
    assert one.page.evaluate("window.stayed") is True


def test_by_keyboard(browser: Browser, people: People) -> None:
    """Signing in needs no mouse, and the first key on a page leads past the navigation."""
    one = Looker(browser, people.base_url)
    try:
        one.see("/console/sign-in")
        one.page.keyboard.type(people.admin)
        one.page.keyboard.press("Enter")
        one.page.wait_for_url("**/console/home")
        one.page.keyboard.press("Tab")
        expect(one.page.get_by_role("link", name="Skip to content")).to_be_focused()
        one.page.keyboard.press("Enter")
        expect(one.page.locator("main")).to_be_focused()
        one.assert_clean()
    finally:
        one.context.close()
