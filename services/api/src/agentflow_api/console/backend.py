"""The API as a page asks it: its own routes, in this process, as whoever is signed in.

So what a page may see and do is decided where it is for everybody: scopes, quotas, idempotency, the audit
log, and who is told what went wrong. Each question counts as a request of its tenant.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from litestar.types import ASGIApp, Message, Scope

from agentflow_api.http.sessions import Session, with_session

# What an inner request has of the browser's: where it came from, and nothing that it says.
_KEPT: Final = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path", "extensions")


class ApiRefusedError(Exception):
    """The API answered that it cannot be done.

    Attributes:
        status: Of the answer.
        code, details: As the API has them.
        retry_after_s: When to try again; None when it did not say.
    """

    def __init__(
        self, status: int, code: str, message: str, details: list[Any], retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Any:
        """`data` of the envelope.

        Raises:
            ApiRefusedError: It was an error.
        """
        answer = json.loads(self.body) if self.body else {}
        if self.status < 400:
            return answer.get("data")
        error = answer.get("error") or {}
        after = self.headers.get("retry-after", "")
        raise ApiRefusedError(
            self.status,
            str(error.get("code", "ERROR")),
            str(error.get("message", "The service could not answer.")),
            list(error.get("details") or ()),
            int(after) if after.isdecimal() else None,
        )


class Backend:
    """Asks the API's routes as one session. Made for a request."""

    def __init__(self, api: ASGIApp, outer: Scope, session: Session) -> None:
        self._api = api
        self._outer = {name: outer[name] for name in _KEPT if name in outer}
        self._session = session

    async def get(self, path: str, **query: Any) -> Any:
        """What a GET answers as `data`; parameters that are None are left out.

        Raises:
            ApiRefusedError: See `Answer`.
        """
        return (await self.ask("GET", path, query=query)).data

    async def send(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """What another method answers as `data`.

        Args:
            key: An `Idempotency-Key`, from the form: whoever presses twice does it once.

        Raises:
            ApiRefusedError: See `Answer`.
        """
        return (await self.ask(method, path, body=body, key=key)).data

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        key: str | None = None,
    ) -> Answer:
        """The answer of a route, whatever it is.

        Args:
            path: Decoded; ids in it are put there by `at`.
        """
        content = b"" if body is None else json.dumps(body).encode()
        headers = [(b"host", b"console"), (b"content-length", str(len(content)).encode())]
        if body is not None:
            headers.append((b"content-type", b"application/json"))
        if key:
            headers.append((b"idempotency-key", key.encode("ascii", "ignore")))
        given = {name: value for name, value in (query or {}).items() if value not in (None, "")}
        inner: dict[str, Any] = {
            **self._outer,
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(given, doseq=True).encode(),
            "headers": headers,
        }
        heard = _Heard(content)
        await self._api(
            cast("Scope", with_session(inner, self._session)),
            heard.receive,  # type: ignore[arg-type]  # theirs are unions of messages
            heard.send,
        )
        return heard.answer()


class _Heard:
    """Both ends of an inner request."""

    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content
        self._status = 500
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    async def receive(self) -> dict[str, Any]:
        content, self._content = self._content, None
        if content is None:
            await asyncio.Event().wait()  # nobody goes away: whoever asks waits for the answer
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]
            }
        elif message["type"] == "http.response.body":
            self._body.append(bytes(message["body"]))

    def answer(self) -> Answer:
        return Answer(self._status, b"".join(self._body), self._headers)
