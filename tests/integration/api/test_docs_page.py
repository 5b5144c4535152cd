"""`/docs`: the document's page, which asks nobody else for anything."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

from tests.support.api import Api


class Names(HTMLParser):
    """Everything that a page names, and its scripts that stand in it."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_data(self, data: str) -> None:
        self.inline += data.strip() if self._in_script else ""

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"


def test_everything_it_names_is_answered_here(api: Api) -> None:
    """Public, each file with its type, and no address of anybody else, not even inside them."""
    page = httpx.get(f"{api.base_url}/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    named = Names()
    named.feed(page.text)
    assert named.inline == ""
    assert len(named.addresses) == 4
    for address in named.addresses:
        whole = urljoin(f"{api.base_url}/docs", address)
        assert urlsplit(whole).netloc == urlsplit(api.base_url).netloc
        answer = httpx.get(whole)
        assert answer.status_code == 200, address
        wanted = {"js": "javascript", "css": "text/css", "png": "image/png"}[address.rsplit(".", 1)[1]]
        assert wanted in answer.headers["content-type"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        if address.endswith(".css"):
            loaded = re.findall(r"url\(\s*[\"']?([^\"')]+)", answer.text)
            assert all(one.startswith("data:") for one in loaded)
            assert "@import" not in answer.text


def test_what_it_shows_is_this_document(api: Api) -> None:
    """Its own script names the document's address, and nobody else's."""
    script = httpx.get(f"{api.base_url}/docs/page.js").text
    assert re.findall(r'url: "([^"]+)"', script) == ["/openapi.json"]
    assert "://" not in script


def test_a_browser_may_load_nothing_from_elsewhere(api: Api) -> None:
    """The policy on the page: itself, and pictures that stand in its styles."""
    policy = httpx.get(f"{api.base_url}/docs").headers["content-security-policy"]
    rules = {rule.split()[0]: set(rule.split()[1:]) for rule in policy.split("; ")}
    assert rules["default-src"] == {"'none'"}
    assert rules["script-src"] == rules["connect-src"] == {"'self'"}
    allowed = {"'self'", "'none'", "'unsafe-inline'", "data:"}
    assert all(sources <= allowed for sources in rules.values())


def test_no_other_file_of_the_package_is_served(api: Api) -> None:
    """Not the editor, nothing by a path that leads out of the folder."""
    for name in ("swagger-editor.js", "page.html", "..%2froutes.py", "../../setup.py", "__init__.py"):
        answer = httpx.get(f"{api.base_url}/docs/{name}")
        assert answer.status_code == 404, name
        assert answer.json()["error"]["code"] == "NOT_FOUND"
