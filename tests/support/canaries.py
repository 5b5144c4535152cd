"""Texts that would run, were any of them taken for markup; each says which field it was written to."""

from typing import Final

from playwright.sync_api import Page

# What a script would need: out of an attribute, a tag, a template. No slash: ids of threads cannot have one.
_BEFORE: Final = "'\"><script>alert(0)<!--"


def canary(field: str) -> str:
    """What is written to a field."""
    return f"{_BEFORE}{core(field)}"


def core(field: str) -> str:
    """The part of it that is the same in JSON; it stands on a page as text."""
    return f"<img src=x onerror=alert(`{field}`)>{{{{7*7}}}}"


def told(page: Page) -> str:
    """All that a page says: its text, what its fields hold, and what their hints say."""
    text: str = page.evaluate(
        """() => [
            document.title,
            document.body.textContent,
            ...[...document.querySelectorAll('input, textarea')].map((one) => one.value + one.placeholder),
        ].join('\\n')"""
    )
    return text


def assert_none_hatched(page: Page) -> None:
    """No element was made of one: neither of those above nor of the walk's."""
    hatched: list[str] = page.eval_on_selector_all(
        "img[src='x'], img[onerror], svg[onload], body script:not([src])",
        "all => all.map((one) => one.outerHTML)",
    )
    assert hatched == [], (page.url, hatched)
