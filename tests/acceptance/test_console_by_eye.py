"""A person who has only run `make run`, and reads nothing but what the console shows."""

import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.acceptance.test_make_run import pasted, running
from tests.support.api import free_port
from tests.support.browser import Looker, chromium


@pytest.mark.slow
def test_history_usage_and_a_key_are_found(state_dir: Path) -> None:
    """From the printed address, by links and buttons that say what they lead to."""
    with running(state_dir / "stack", free_port()) as stack:
        banner = stack.banner()
        pasted(banner)
        address = re.search(r"^To look at it: (\S+)$", banner, re.MULTILINE)
        secret = re.search(r"sign in as the tenant with +(\S+)$", banner, re.MULTILINE)
        assert address is not None
        assert secret is not None
        with chromium() as browser:
            one = Looker(browser, stack.dev()["base_url"])
            one.see(address[1])
            page = one.page
            page.get_by_label("API key").fill(secret[1])
            page.get_by_role("button", name="Sign in").click()

            # The history of the conversation that was pasted.
            page.get_by_role("link", name="Threads", exact=True).click()
            page.get_by_role("link", name="user-42", exact=True).click()
            expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
            expect(page.get_by_text("Your name is Alex.").first).to_be_visible()
            page.get_by_role("navigation", name="Checkpoints").get_by_role("link", name="Input").last.click()
            expect(page.get_by_role("heading", name="What this step changed")).to_be_visible()
            expect(page.get_by_text("My name is Alex.").first).to_be_visible()

            # What was used this month.
            page.get_by_role("link", name="Usage", exact=True).click()
            expect(page.get_by_role("link", name="This month")).to_have_attribute("aria-current", "page")
            runs = page.locator("div").filter(has=page.get_by_text("Runs", exact=True)).locator("dd")
            expect(runs.first).to_have_text("2")

            # A key.
            page.get_by_role("link", name="Home", exact=True).click()
            page.get_by_role("link", name="Make a key").click()
            page.get_by_label("Name").fill("mine")
            page.get_by_role("button", name="Make the key").click()
            key = page.locator("#secret").inner_text()
            one.assert_clean()
        mine = {"Authorization": f"Bearer {key}"}
        assert httpx.get(f"{stack.dev()['base_url']}/v1/threads", headers=mine).status_code == 200
