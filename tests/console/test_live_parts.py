"""Parts that are renewed while somebody looks: the reader's place stays, and the server's word is kept."""

import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.api import Api
from tests.support.browser import Looker, chromium, looker
from tests.support.waiting import soon

# A guard against waiting for ever, not a measure.
PATIENCE_S = 60.0
# As the script parses what a part's address answers.
PARSED = """(before, after) => {
  const parsed = (text) => new DOMParser().parseFromString(text, 'text/html').body.firstElementChild;
  window.now = document.importNode(parsed(before), true);
  document.querySelector('main').append(window.now);
  window.change = () => become(window.now, parsed(after));
}"""
BEFORE = """<section id="x" data-live="/x"><p>1 %</p>
<details><summary>More</summary><pre id="long">LONG</pre></details>
<button id="gone">Undo</button><input id="typed" value=""></section>"""
AFTER = """<section id="x"><p class="done">100 %</p>
<details><summary>More</summary><pre id="long">LONG</pre><p>New</p></details>
</section>"""


@pytest.fixture(scope="module")
def browser(api: Api) -> Iterator[Browser]:
    with chromium() as one:
        yield one


@pytest.fixture
def one(browser: Browser, api: Api) -> Iterator[Looker]:
    with looker(browser, api.base_url, api.operator_token) as one:
        yield one


def test_what_did_not_change_stays_in_place(one: Looker) -> None:
    """A look at the page of health brings what is new into the elements that are there."""
    page = one.page
    one.see("/console/health")
    heading = page.locator("#findings")
    heading.evaluate("one => { one.isTheSame = true; one.textContent = 'old'; }")
    expect(heading).to_have_text("What the doctor finds")
    assert heading.evaluate("one => one.isTheSame")
    assert page.locator("#health").evaluate("one => one.isConnected && !!one.dataset.live")


def test_what_is_open_focused_and_scrolled_stays_so(one: Looker) -> None:
    """Of a part that changes around it; what is not there any more goes."""
    page = one.page
    one.see("/console/new-tenant")
    long = "line<br>" * 400
    script = f"([before, after]) => ({PARSED})(before, after)"
    page.evaluate(script, [BEFORE.replace("LONG", long), AFTER.replace("LONG", long)])
    page.get_by_text("More").click()
    page.locator("#long").evaluate("one => { one.scrollTop = 300; }")
    page.locator("summary").focus()
    page.evaluate("window.change()")
    assert page.locator("#x details").evaluate("one => one.open")
    assert page.locator("#long").evaluate("one => one.scrollTop") == 300
    assert page.evaluate("document.activeElement.textContent") == "More"
    expect(page.locator("#x p").first).to_have_text("100 %")
    expect(page.locator("#x .done")).to_have_count(1)
    expect(page.get_by_text("New", exact=True)).to_be_visible()
    expect(page.locator("#gone, #typed")).to_have_count(0)
    assert page.locator("#x").get_attribute("data-live") is None


@pytest.mark.parametrize(
    ("status", "after", "pause"),
    [(429, "7", 7000), (503, "2", 2000), (503, "0", 900), (500, None, 900), (429, "x", 900)],
)
def test_who_is_refused_comes_back_when_told(one: Looker, status: int, after: str | None, pause: int) -> None:
    """After `Retry-After`, and never sooner than usual."""
    one.see("/console/new-tenant")
    script = "([status, headers]) => pauseAfter(new Response('', { status, headers }), 900)"
    headers = {} if after is None else {"retry-after": after}
    assert one.page.evaluate(script, [status, headers]) == pause


# When the page asks for something, by its own clock.
NOTING = """window.asked = [];
const ask = window.fetch;
window.fetch = (...what) => { window.asked.push(Date.now()); return ask(...what); };"""


def test_a_part_that_is_refused_waits(one: Looker) -> None:
    """As long as `Retry-After` says, by the page's clock, which is moved here; then it is renewed."""
    page, refused = one.page, list[str]()
    one.refused = {429}

    def refuse_the_first(route: Route) -> None:
        if refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=429, headers={"retry-after": "60"})

    page.clock.install()
    page.add_init_script(NOTING)
    page.route("**/console/health/part", refuse_the_first)
    one.see("/console/health")
    heading = page.locator("#findings")
    heading.evaluate("one => { one.textContent = 'old'; }")

    def is_renewed() -> bool:
        page.clock.run_for(1000)
        return heading.text_content() != "old"

    soon(is_renewed, within_s=PATIENCE_S)
    first, second = page.evaluate("window.asked")[:2]
    assert len(refused) == 1
    assert second - first >= 60_000


def test_copying_by_the_keyboard(one: Looker, api: Api) -> None:
    """A button, that says so when it is done."""
    with api.operator() as client:
        slug = f"copied-{secrets.token_hex(6)}"
        tenant = client.post("/v1/admin/tenants", json={"slug": slug}).json()["data"]
    one.context.grant_permissions(["clipboard-read", "clipboard-write"])
    one.see(f"/console/tenants/{slug}")
    button = one.page.locator(f"[data-copy='{tenant['tenant_id']}']")
    button.focus()
    one.page.keyboard.press("Enter")
    expect(button).to_have_text("Copied")
    assert one.page.evaluate("navigator.clipboard.readText()") == tenant["tenant_id"]
    expect(button).to_have_text("Copy")
