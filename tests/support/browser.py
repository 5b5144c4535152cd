"""Debian's Chromium, driven by Playwright, and what a page must not do while somebody looks at it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    ViewportSize,
    sync_playwright,
)

DESKTOP: Final[ViewportSize] = {"width": 1280, "height": 900}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
type Scheme = Literal["light", "dark"]
_AXE: Final = {"resultTypes": ["violations"]}
# What axe calls these keeps people out; lesser findings are hints.
_GRAVE: Final = ("serious", "critical")
# A guard against waiting for ever, not a measure.
_PATIENCE_MS: Final = 60_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. CI has it; where it is missing the failure says how to get it."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("chromium is missing: apt-get install --no-install-recommends chromium")
    # Its sandbox refuses root, which containers of CI are; all it is shown here is ours.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Looker:
    """Somebody at a browser of their own. What went wrong in it is kept until `assert_clean`.

    Attributes:
        refused: Statuses of pages that are wanted: the browser tells each of them as an error.
    """

    def __init__(self, browser: Browser, base_url: str) -> None:
        self.context = browser.new_context(base_url=base_url, viewport=DESKTOP)
        self.context.set_default_timeout(_PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.refused: set[int] = set()
        self._origin = urlsplit(base_url).netloc
        self._wrong: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._wrong.append(f"script: {error}"))
        self.page.on("dialog", self._on_dialog)
        self.page.on("request", self._on_request)
        self._axe = Axe()
        self._look = "as it began"

    def sign_in(self, credential: str) -> None:
        """By the form, as people do."""
        self.page.goto("/console/sign-in")
        self.page.get_by_label("API key").fill(credential)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def see(self, path: str) -> Response:
        """Go to a page; its answer."""
        answer = self.page.goto(path)
        assert answer is not None
        return answer

    def links(self) -> list[str]:
        """Pages of the console that this one leads to."""
        found: list[str] = self.page.eval_on_selector_all(
            "a[href^='/console']:not([download])", "all => all.map(one => one.getAttribute('href'))"
        )
        return found

    def observe(self, selector: str) -> None:
        """Note from now on what an element says whenever the page changes; a page loaded anew forgets it."""
        self.page.evaluate(
            """(selector) => {
                const note = () => {
                    const text = document.querySelector(selector)?.textContent.trim();
                    if (text !== undefined && window.noted.at(-1) !== text) window.noted.push(text);
                };
                window.noted = [];
                note();
                new MutationObserver(note).observe(document, {
                    childList: true, subtree: true, characterData: true,
                });
            }""",
            selector,
        )

    def observed(self, end: str) -> list[str]:
        """All that it said, once it says `end`."""
        self.page.wait_for_function("(end) => window.noted.at(-1) === end", arg=end)
        noted: list[str] = self.page.evaluate("window.noted")
        return noted

    def assert_clean(self) -> None:
        """No error in the console (a violation of the policy is one), no dialog, no request elsewhere."""
        assert self._wrong == [], (self.page.url, self._wrong)

    def assert_light(self, most: int) -> None:
        """The page, its styles, scripts and pictures are together no more than so many bytes, unpacked."""
        size: int = self.page.evaluate(
            "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))"
            ".reduce((sum, one) => sum + one.decodedBodySize, 0)"
        )
        assert 0 < size <= most, (self.page.url, size)

    def look(self, window: ViewportSize, scheme: Scheme) -> None:
        """From now on by another window, and with other colours."""
        self.page.set_viewport_size(window)
        self.page.emulate_media(color_scheme=scheme)
        self._look = f"{window['width']} px, {scheme}"

    def assert_fits(self) -> None:
        """Nothing is wider than the window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, (self.page.url, self._look, f"{wide} px too wide")

    def assert_accessible(self) -> None:
        """Axe, with all of its rules, finds nothing serious."""
        found = self._axe.run(self.page, options=_AXE).response["violations"]
        grave = [
            (one["id"], one["impact"], [node["html"][:160] for node in one["nodes"][:4]])
            for one in found
            if one["impact"] in _GRAVE
        ]
        assert grave == [], (self.page.url, self._look, grave)

    def _on_console(self, message: ConsoleMessage) -> None:
        is_wanted = any(f"responded with a status of {status} " in message.text for status in self.refused)
        if message.type in ("error", "warning") and not is_wanted:
            self._wrong.append(f"{message.type}: {message.text}")

    def _on_dialog(self, dialog: Dialog) -> None:
        self._wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()  # the page waits for that

    def _on_request(self, request: Request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != self._origin:
            self._wrong.append(f"elsewhere: {request.url}")


@contextmanager
def looker(browser: Browser, base_url: str, credential: str) -> Iterator[Looker]:
    """Somebody who is signed in; nothing may have gone wrong until they leave."""
    one = Looker(browser, base_url)
    try:
        one.sign_in(credential)
        yield one
        one.assert_clean()
    finally:
        one.context.close()
