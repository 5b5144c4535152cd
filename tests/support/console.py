"""A browser's side of the console, over plain HTTP."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

import httpx

_TOKEN = re.compile(r'name="form-token" content="([^"]+)"')


class Visitor:
    """Somebody at the console: keeps cookies, fills in forms as the pages have them."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.form_token = ""

    def see(self, path: str, *, status: int = 200, **query: Any) -> str:
        """A page's text."""
        answer = self.client.get(path, params=query or None)  # {} would take away a query of the path's own
        assert answer.status_code == status, (answer.status_code, answer.text)
        found = _TOKEN.search(answer.text)
        self.form_token = unescape(found.group(1)) if found else self.form_token
        return answer.text

    def send(self, path: str, **fields: Any) -> httpx.Response:
        """A form of one of the pages, with its token."""
        return self.client.post(path, data={"form_token": self.form_token, **fields})

    def sign_in(self, credential: str) -> httpx.Response:
        """As whom a credential stands for."""
        answer = self.client.post("/console/sign-in", data={"credential": credential})
        if answer.status_code == 303:
            self.see(answer.headers["location"])
        return answer


@contextmanager
def visitor(base_url: str) -> Iterator[Visitor]:
    """A browser that is not signed in; it follows no redirection by itself."""
    with httpx.Client(base_url=base_url, timeout=60) as client:
        yield Visitor(client)
