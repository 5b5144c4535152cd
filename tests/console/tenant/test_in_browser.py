"""What a tenant does in a real browser: talk, answer, go back, make a key, watch an export."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.agents import pipes
from tests.support.api import Api, say
from tests.support.browser import Looker, chromium, looker
from tests.support.export_work import carried_out

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def browser(api: Api) -> Iterator[Browser]:
    """One browser; each test has cookies of its own. While it is there nothing else here may use asyncio."""
    with chromium() as one:
        yield one


@pytest.fixture
def key(api: Api) -> str:
    """Of a tenant of the test's own; it may do everything."""
    with api.operator() as operator:
        made = operator.post("/v1/admin/tenants", json={"slug": f"b-{secrets.token_hex(6)}"})
    key: str = made.json()["data"]["api_key"]
    return key


@pytest.fixture
def client(api: Api, key: str) -> Iterator[httpx.Client]:
    """The tenant's own program."""
    with api.with_key(key) as client:
        yield client


@pytest.fixture
def one(browser: Browser, api: Api, key: str) -> Iterator[Looker]:
    """Somebody who is signed in with that key; nothing may go wrong in the browser meanwhile."""
    with looker(browser, api.base_url, key) as one:
        yield one


def test_a_conversation_as_it_goes_on(one: Looker, client: httpx.Client) -> None:
    """Said by the keyboard, answered in place; the thread's history is a link away."""
    page = one.page
    one.see("/console/chat")
    messages = page.locator("#conversation article")
    page.get_by_label("Your message").fill(f"My cat is {EVIL}.")
    page.keyboard.press("Enter")
    expect(messages).to_have_count(2)
    page.locator("#conversation .soft a").wait_for()
    assert "thread=" in page.url
    page.get_by_label("Your message").fill("What's my cat?")
    page.get_by_role("button", name="Send").click()
    expect(messages).to_have_count(4)
    expect(messages.last).to_contain_text("Your cat is")
    [thread] = client.get("/v1/threads").json()["data"]["threads"]
    page.locator("#conversation .soft a").last.click()
    expect(page.locator(".crumbs")).to_contain_text(thread["thread_id"])
    expect(page.locator(".timeline .step")).to_have_count(4)


def test_what_is_sent_again_has_one_effect(one: Looker, client: httpx.Client) -> None:
    """Pressed twice it is one call; if its answer is lost, the words come back, and are said once."""
    page, keys = one.page, list[str]()
    one.refused = {502}

    def lose_the_first(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            assert route.fetch().ok
            route.fulfill(status=502)
        else:
            route.continue_()

    page.route("**/v1/graph/stream", lose_the_first)
    one.see("/console/chat?agent=memory")
    messages, box = page.locator("#conversation article"), page.get_by_label("Your message")
    box.fill("My name is Alex.")
    page.locator("#composer").evaluate("form => { form.requestSubmit(); form.requestSubmit(); }")
    expect(page.locator("#chat-state")).to_contain_text("502")
    expect(box).to_have_value("My name is Alex.")
    expect(messages).to_have_count(0)
    page.keyboard.press("Enter")
    page.locator("#conversation .soft a").wait_for()
    expect(messages).to_have_count(2)
    box.fill("My name is Alex.")
    page.keyboard.press("Enter")
    expect(messages).to_have_count(4)
    assert [keys[0] == key for key in keys] == [True, True, False]
    [thread] = client.get("/v1/threads").json()["data"]["threads"]
    kept = client.get(f"/v1/threads/{thread['thread_id']}/messages").json()["data"]["messages"]
    assert [said["role"] for said in kept] == ["user", "assistant"] * 2


def test_a_failure_is_told_in_the_chat(one: Looker) -> None:
    """Of the agent and of the service, in words; what was typed before stays."""
    page = one.page
    one.see("/console/chat?agent=breaks")
    page.get_by_label("Your message").fill("hi")
    page.keyboard.press("Enter")
    expect(page.locator("#conversation article").first).to_contain_text("hi")
    expect(page.locator("#composer button")).to_be_enabled()
    expect(page.locator("#conversation")).to_contain_text("Thread")
    # Also when the conversation is shown as it is stored.
    expect(page.locator("#chat-state")).to_contain_text("failed")


def test_a_question_answered_and_a_step_back(one: Looker, client: httpx.Client) -> None:
    """Asked in the chat, answered by its form, then forked from before the answer: it is asked again."""
    page = one.page
    one.see("/console/chat?agent=asks&thread=t")
    page.get_by_label("Your message").fill("hi")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="MAIN waits for an answer").wait_for()
    page.get_by_label("Your answer").fill("yes")
    page.get_by_role("button", name="Answer").click()
    page.get_by_text("Answered: the run went on.").wait_for()
    expect(page.locator("#point")).to_contain_text("you said yes")
    page.locator(".timeline .step-title").last.click()
    page.get_by_role("heading", name="Checkpoint 1").wait_for()
    page.get_by_text("Go on from checkpoint 1").click()
    page.get_by_label("Id of the new thread").fill("t-2")
    page.get_by_role("button", name="Fork into a new thread").click()
    page.get_by_text("Forked from checkpoint 1 of t.").wait_for()
    assert {thread["thread_id"] for thread in client.get("/v1/threads").json()["data"]["threads"]} == {
        "t",
        "t-2",
    }


def test_a_key_from_the_first_page(one: Looker, api: Api) -> None:
    """Found without reading anything; it opens the API, and is gone from the page with the next look."""
    page = one.page
    page.get_by_role("link", name="Make a key").click()
    page.get_by_label("Name").fill(EVIL)
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    one.assert_accessible()
    with api.with_key(secret) as program:
        assert program.get("/v1/threads").status_code == 200
    one.see("/console/keys")
    expect(page.locator("#secret")).to_have_count(0)
    assert secret not in page.content()


def test_a_run_is_seen_to_its_end(one: Looker, client: httpx.Client, tmp_path: Path) -> None:
    """Its page changes when the run does: nobody loads it, and nothing is asked for once it is over."""
    said, heard = pipes(tmp_path)
    with ThreadPoolExecutor() as apart:
        going = apart.submit(client.post, "/a/waits/v1/graph/invoke", json=say(f"{said}|{heard}", "t"))
        assert said.read_text() == "running"
        [step] = client.get("/v1/threads/t/history").json()["data"]["checkpoints"]
        one.see(f"/console/threads/t/runs/{step['run_id']}")
        one.observe("#run .badge")
        expect(one.page.locator("[data-live]")).to_have_count(1)
        heard.write_text("go")
        assert going.result().status_code == 200
        assert one.observed("completed") == ["running", "completed"]
    expect(one.page.locator("[data-live]")).to_have_count(0)
    expect(one.page.locator("#run")).to_contain_text("SECOND")
    expect(one.page.locator("#run .badge").first).to_have_class("badge good")


def test_an_export_is_watched_to_its_end(one: Looker, api: Api, client: httpx.Client) -> None:
    """The page renews what it shows by itself, and then offers the file."""
    client.post("/v1/graph/invoke", json=say("My name is Alex.", "t"))
    page = one.page
    one.see("/console/exports")
    page.get_by_role("button", name="Start the export").click()
    expect(page.locator("article[data-live]")).to_have_count(1)
    with ThreadPoolExecutor() as apart:
        apart.submit(carried_out, api).result()
    page.get_by_role("button", name="Download").wait_for()
    expect(page.locator("article[data-live]")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename.endswith(".tar")
