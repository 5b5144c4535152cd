"""Every page that links lead to, in a real browser: as the operator, as a tenant's admin, as one who reads.

The pages are found as people find them, and are all that the application routes: one that is added later is
looked at, or its absence is told.
"""

from collections import deque
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.support.api import say
from tests.support.browser import DESKTOP, PHONE, Looker, Scheme, chromium, looker
from tests.support.canaries import assert_none_hatched, canary, core, told
from tests.support.console_pages import OF_ANYBODY, OF_OPERATOR, OF_TENANT, kind_of
from tests.support.people import OTHERS, People, people_of
from tests.support.run import Servers

# Of a page with all that it needs.
MOST_BYTES = 150_000
# As many pages of one kind as show what is different between two of them.
OF_A_KIND = 2
# How pages are looked at, first as everything else here is done.
LOOKS: tuple[tuple[ViewportSize, Scheme], ...] = ((DESKTOP, "light"), (PHONE, "light"), (DESKTOP, "dark"))
# On a page, what is neither for finding nor for copying.
_CHANGING = "main form:not([method=get]), main button:not([data-copy]):not(form[method=get] button)"
_NOT_FOR_READERS = {f"/console/{page}" for page in ("chat", "keys", "exports")}


@pytest.fixture(scope="module")
def people(servers: Servers, template: str) -> Iterator[People]:
    """Of this module's own."""
    with people_of(servers, template) as people:
        yield people


@pytest.fixture(scope="module")
def browser(people: People) -> Iterator[Browser]:  # which uses asyncio before this does
    """One browser; each test has cookies of its own."""
    with chromium() as one:
        yield one


def _walk(one: Looker, start: str, never: str | None = None, *, reads_only: bool = False) -> dict[str, int]:
    """Follow the links from a page, and look closely at each; how many of each kind there were.

    `never` stands on none of them; who `reads_only` finds nothing that would change anything.
    """
    seen: dict[str, int] = {}
    done: set[str] = set()
    waiting = deque([start])
    while waiting:
        path = waiting.popleft()
        kind = kind_of(path)
        if path in done or seen.get(kind, 0) >= OF_A_KIND:
            continue
        done.add(path)
        seen[kind] = seen.get(kind, 0) + 1
        answer = one.see(path)
        assert answer.status == 200, (path, answer.status, one.page.inner_text("body"))
        one.assert_clean()
        assert never is None or never not in one.page.content(), path
        assert_none_hatched(one.page)
        _look_closely(one)
        if reads_only:
            changing = one.page.evaluate("(all) => document.querySelectorAll(all).length", _CHANGING)
            assert changing == 0, path
        waiting.extend(one.links())
    return seen


def _look_closely(one: Looker) -> None:
    """For those who see badly, by both sets of colours, on a phone, and over a slow line."""
    one.assert_light(MOST_BYTES)
    for window, scheme in LOOKS:
        one.look(window, scheme)
        one.assert_fits()
        one.assert_accessible()
    one.look(*LOOKS[0])


def test_the_operators_pages(browser: Browser, people: People) -> None:
    """All that the navigation leads to, and all tenants' pages; nothing that a tenant wrote runs."""
    with looker(browser, people.base_url, people.operator) as one:
        seen = _walk(one, "/console/tenants")
    assert set(seen) >= OF_OPERATOR


@pytest.mark.parametrize("who", ["admin", "reader"])
def test_a_tenants_pages(browser: Browser, people: People, who: str) -> None:
    """Theirs alone: the other tenant stands nowhere."""
    with looker(browser, people.base_url, getattr(people, who)) as one:
        seen = _walk(one, "/console/home", never=OTHERS, reads_only=who == "reader")
    left = OF_TENANT - set(seen)
    assert left == (_NOT_FOR_READERS if who == "reader" else set())


def test_a_tenant_is_made_moved_and_leaves(browser: Browser, people: People) -> None:
    """By the operator's clicks alone; what goes on is seen as it does, without loading the page anew."""
    with looker(browser, people.base_url, people.operator) as one:
        page = one.page
        page.get_by_role("link", name="New tenant").click()
        page.get_by_label("Slug").fill("passing")
        page.get_by_role("button", name="Make it").click()
        mine = {"authorization": f"Bearer {page.locator('#api-key').inner_text()}"}
        _look_closely(one)
        said = httpx.post(f"{people.base_url}/v1/graph/invoke", json=say("hello", "t"), headers=mine)
        assert said.status_code == 200
        page.get_by_role("link", name="To the tenant").click()

        page.get_by_label("Why").fill(canary("reason"))
        page.get_by_role("button", name="Move while it works").click()
        _watch(one, "#operation", "done")
        expect(page.locator("#operation")).to_contain_text(canary("reason"))
        _look_closely(one)

        one.see("/console/tenants/passing")
        expect(page.locator("dl.facts").first).to_contain_text("(own)")
        page.get_by_role("link", name="Offboard").click()
        one.refused = {422}
        page.get_by_label("Type passing to confirm").fill("another")
        page.get_by_role("button", name="Offboard").click()
        expect(page.get_by_role("alert")).to_contain_text("exactly")
        _look_closely(one)
        page.get_by_label("Type passing to confirm").fill("passing")
        page.get_by_role("button", name="Offboard").click()
        _watch(one, "#offboarding", "grace")
        _look_closely(one)
        page.reload()
        page.get_by_role("button", name="Skip the grace").click()
        _watch(one, "#offboarding", "purged")
        _look_closely(one)
        page.locator("#offboarding a").click()
        expect(page.get_by_text("It verifies")).to_be_visible()
        _look_closely(one)
    assert httpx.get(f"{people.base_url}/v1/threads", headers=mine).status_code == 410


def _watch(one: Looker, part: str, state: str) -> None:
    """A page's live part comes to a state, and the page is the one that it was."""
    one.observe(f"{part} .badge")
    assert one.observed(state)[-1] == state


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


def test_pages_of_nobody(browser: Browser, people: People) -> None:
    """Where one signs in, and what says that something is not there, not allowed, or does not fit."""
    one = Looker(browser, people.base_url)
    try:
        assert {route for route in OF_ANYBODY if ":path}" not in route} == {"/console/sign-in"}
        one.see("/console/sign-in")
        one.assert_clean()
        _look_closely(one)
        one.refused = {401, 403, 404, 422}
        one.page.get_by_label("API key").fill("none-such")
        one.page.get_by_role("button", name="Sign in").click()
        expect(one.page.get_by_role("alert")).to_contain_text("opens nothing")
        _look_closely(one)
        one.sign_in(people.reader)
        for path, status in (
            ("/console/threads/none-such", 404),
            ("/console/tenants", 403),
            (f"/console/threads?cursor={canary('cursor')}", 422),
        ):
            answer = one.see(path)
            assert answer.status == status, path
            assert_none_hatched(one.page)
            _look_closely(one)
        one.assert_clean()
    finally:
        one.context.close()


def test_a_new_key_is_shown(browser: Browser, people: People) -> None:
    """On a page that the operator's form answers with, and on one that a tenant's does."""
    with looker(browser, people.base_url, people.operator) as one:
        one.see("/console/tenants/acme")
        one.page.get_by_text("New key", exact=True).click()
        one.page.get_by_label("Name", exact=True).fill(canary("operators-key"))
        one.page.get_by_label("threads:read").check()
        one.page.get_by_role("button", name="Make a key").click()
        one.page.locator("#api-key").wait_for()
        _assert_told(one, "operators-key")
        _look_closely(one)
    with looker(browser, people.base_url, people.admin) as one:
        one.see("/console/keys")
        one.page.get_by_label("Name").fill(canary("tenants-key"))
        one.page.get_by_role("button", name="Make the key").click()
        one.page.locator("#secret").wait_for()
        _assert_told(one, "tenants-key")
        _look_closely(one)


def _assert_told(one: Looker, *fields: str) -> None:
    """What was written there is on the page, as text."""
    text = told(one.page)
    assert [field for field in fields if core(field) not in text] == [], one.page.url
    assert_none_hatched(one.page)


def test_what_a_tenant_writes_is_text(browser: Browser, people: People) -> None:
    """In every field there is, wherever it is shown: each canary is read on a page, and none was markup."""
    with looker(browser, people.base_url, people.admin) as one:
        one.see("/console/threads")
        _assert_told(one, "name", "thread", "asking", "failed", "user")
        threads = [path for path in one.links() if kind_of(path) == "/console/threads/{thread_id:str}"]
        found: list[str] = []
        for path in threads:
            one.see(path)
            found.append(told(one.page))
            assert_none_hatched(one.page)
            for run in {link for link in one.links() if kind_of(link).endswith("/runs/{run_id:str}")}:
                one.see(run)
                found.append(told(one.page))
                assert_none_hatched(one.page)
        fields = (
            "meta", "data", "message", "node", "answer", "reasoning", "tool", "argument", "value", "result",
            "tool-error", "error", "url", "kind", "state-key", "state-value", "question", "failure",
        )  # fmt: skip
        text = "\n".join(found)
        assert [field for field in fields if core(field) not in text] == []
        for path, told_fields in (("/console/keys", ["key"]), ("/console/exports", ["thread"])):
            one.see(path)
            _assert_told(one, *told_fields)


def test_what_the_operator_reads_of_tenants_is_text(browser: Browser, people: People) -> None:
    """Names, keys, and why something was done."""
    with looker(browser, people.base_url, people.operator) as one:
        one.see("/console/tenants")
        _assert_told(one, "tenant")
        one.see("/console/tenants/acme")
        _assert_told(one, "tenant", "key")
        one.see("/console/tenants/acme/settings")
        _assert_told(one, "tenant")
        one.see("/console/audit")
        _assert_told(one, "key")
        assert canary("key") in told(one.page), "escaped more than once"
        one.see("/console/operations")
        [move] = {path for path in one.links() if kind_of(path) == "/console/operations/{operation_id:str}"}
        one.see(move)
        _assert_told(one, "reason")


ECHOES = {
    "admin": (
        ("/console/threads", ("text", "name", "user", "metadata", "since", "sort")),
        ("/console/chat", ("thread", "agent")),
        ("/console/usage", ("span",)),
        ("/console/keys", ("cursor",)),
        ("/console/exports", ("cursor",)),
        ("/console/threads/talk", ("agent", "before", "at", "messages")),
    ),
    "operator": (
        ("/console/tenants", ("search", "state", "plan", "placement", "cursor")),
        ("/console/operations", ("moves", "leaving")),
        ("/console/receipts", ("cursor",)),
    ),
}


@pytest.mark.parametrize("who", ["admin", "operator"])
def test_what_an_address_says_is_text(browser: Browser, people: People, who: str) -> None:
    """Filters that come back in their form, and whatever else a link could carry; a refusal is a page too."""
    with looker(browser, people.base_url, getattr(people, who)) as one:
        one.refused = {400, 404, 422}
        for path, names in ECHOES[who]:
            for name in names:
                one.see(f"{path}?{urlencode({name: canary(name)})}")
                assert_none_hatched(one.page)
        if who == "admin":
            one.see(
                "/console/threads?" + urlencode({name: canary(name) for name in ("text", "name", "user")})
            )
            _assert_told(one, "text", "name", "user")
            one.see("/console/chat?" + urlencode({"thread": canary("talk-to")}))
            _assert_told(one, "talk-to")
        else:
            one.see("/console/tenants?" + urlencode({"search": canary("search")}))
            _assert_told(one, "search")
