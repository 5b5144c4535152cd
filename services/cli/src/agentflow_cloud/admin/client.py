"""A client of the service's routes: the operator's, or a tenant's own."""

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from agentflow_cloud.admin.target import Target, health_target, operator_target, tenant_target
from agentflow_cloud.errors import CommandError, UnansweredError
from agentflow_cloud.terminal.text import shown

_TIMEOUT_S: Final = 60.0
_PAGE: Final = 1000
_EVERY: Final = 2**63
_TRIES: Final = 3
_PIECE_BYTES: Final = 1024 * 1024
_WAIT_S: Final = 0.5
# An answer that says that the next one may be another: nothing was done, or it is being done.
_AGAIN: Final = (502, 503, 504)


class ServiceClient:
    """Speaks to one service with one credential."""

    def __init__(self, target: Target, below: str, *, timeout_s: float = _TIMEOUT_S) -> None:
        """Ask for nothing yet.

        Args:
            target: Which service, and the credential.
            below: What all paths begin with.
            timeout_s: How long an answer may take.
        """
        self._target = target
        self._root = f"{target.base_url}{below}"
        self._timeout_s = timeout_s
        # The token is for this address alone: an answer that sends elsewhere is not followed.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask for something; one round trip, and more where an answer got lost.

        A POST carries an `Idempotency-Key` of its own, so that it has one effect however often it is sent.

        Returns:
            The answer's `data`.

        Raises:
            CommandError: The service refused, in its own words.
            UnansweredError: It could not be reached, or cannot answer now.
        """
        headers = {"Authorization": f"Bearer {self._target.token}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid4())
        request = urllib.request.Request(  # noqa: S310 - the target's scheme is checked
            f"{self._root}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        return self._answer(request)

    def all(
        self, path: str, name: str, query: Mapping[str, Any], *, most: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Every entry of a listing, or the first ones; a round trip for each thousand."""

        def ask(asked: Mapping[str, Any]) -> Any:
            return self.call("GET", f"{path}?{urlencode(asked)}")

        return _pages(ask, name, query, most)

    def search(
        self, path: str, name: str, body: Mapping[str, Any], *, most: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """The same of a listing that is asked for by a body."""
        return _pages(lambda asked: self.call("POST", path, asked), name, body, most)

    def all_by_offset(self, path: str, name: str, *, most: int | None = None) -> Iterator[dict[str, Any]]:
        """The same of a listing whose pages are counted from its beginning."""
        at, end = 0, _EVERY if most is None else most
        while at < end:
            limit = min(_PAGE, end - at)
            page = self.call("GET", f"{path}?{urlencode({'offset': at, 'limit': limit})}")[name]
            yield from page
            at += len(page)
            if len(page) < limit:
                return

    def upload(self, path: str, file: Path) -> Any:
        """Send a file, as it is; sent again it has the same effect.

        Raises:
            CommandError: As `call`.
            OSError: The file cannot be read.
        """
        size = file.stat().st_size
        headers = {
            "Authorization": f"Bearer {self._target.token}",
            "Content-Type": "application/x-tar",
            "Content-Length": str(size),
        }
        with file.open("rb") as content:
            request = urllib.request.Request(  # noqa: S310 - the target's scheme is checked
                f"{self._root}{path}", data=content, headers=headers, method="POST"
            )
            return self._data(self._answer_once(request))

    def download(self, url: str, size_bytes: int, file: Path) -> None:
        """Write what a link opens to a file, and go on where it broke off.

        Raises:
            CommandError: The link is over, or nobody answers.
            OSError: The file cannot be written.
        """
        tries, at = _TRIES, 0
        with file.open("wb") as content:
            while content.tell() < size_bytes:
                tries = _TRIES if content.tell() > at else tries - 1
                at = content.tell()
                request = urllib.request.Request(  # noqa: S310 - the target's scheme is checked
                    f"{self._target.base_url}{url}", headers={"Range": f"bytes={at}-"}
                )
                try:
                    with self._opener.open(request, timeout=self._timeout_s) as answer:
                        shutil.copyfileobj(answer, content, _PIECE_BYTES)
                except urllib.error.HTTPError as error:
                    with error:
                        raise CommandError(_refusal(error.code, error.read())) from None
                except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
                    if tries == 0:
                        raise UnansweredError(f"The download broke off: {shown(str(error))}.") from error
                    time.sleep(_WAIT_S)

    def _answer(self, request: urllib.request.Request) -> Any:
        for left in reversed(range(_TRIES)):
            try:
                return self._data(self._answer_once(request))
            except _LostError as lost:
                if left == 0:
                    raise UnansweredError(str(lost)) from lost
                time.sleep(_WAIT_S)
        raise AssertionError("the last try returns or raises")

    def _answer_once(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                kind = _LostError if error.code in _AGAIN else CommandError
                raise kind(_refusal(error.code, error.read())) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            kind = _LostError if isinstance(reason, _CUT_OFF) else UnansweredError
            raise kind(
                f"No answer from {self._target.base_url} ({shown(str(reason))}): "
                "is it running, and is AGENTFLOW_URL right?"
            ) from error

    def _data(self, content: bytes) -> Any:
        try:
            return json.loads(content)["data"]
        except (ValueError, KeyError, TypeError):
            # Also what an answer looks like that was cut off among its header fields.
            raise _LostError(
                f"{self._target.base_url} does not answer as AgentFlow Cloud does: check AGENTFLOW_URL."
            ) from None


def service(*, timeout_s: float = _TIMEOUT_S) -> ServiceClient:
    """A client of the operator's routes, of the service that the environment or the state folder names.

    Raises:
        CommandError: There is none; what to set.
    """
    return ServiceClient(operator_target(), "/v1/admin", timeout_s=timeout_s)


def own_service(*, timeout_s: float = _TIMEOUT_S) -> ServiceClient:
    """A client of a tenant's own routes, by its API key.

    Raises:
        CommandError: There is none; what to set.
    """
    return ServiceClient(tenant_target(), "/v1", timeout_s=timeout_s)


def health_service() -> tuple[ServiceClient, bool]:
    """A client of what stands beside the versioned routes, and whether it is the operator's.

    Raises:
        CommandError: As `health_target`.
    """
    target = health_target()
    return ServiceClient(target, ""), bool(target.token)


# It was there and went away; nobody there at all is told at once.
_CUT_OFF: Final = (http.client.HTTPException, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


class _LostError(UnansweredError):
    """What was asked may have been done, and may be asked again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer is an error like others."""


def _pages(
    ask: Callable[[Mapping[str, Any]], Any], name: str, query: Mapping[str, Any], most: int | None
) -> Iterator[dict[str, Any]]:
    asked, left = dict(query), _EVERY if most is None else most
    while left:
        asked["limit"] = min(_PAGE, left)
        page = ask(asked)
        yield from page[name]
        left -= len(page[name])
        if page["next_cursor"] is None:
            return
        asked["cursor"] = page["next_cursor"]


def _refusal(status: int, content: bytes) -> str:
    """What the service says is wrong, with the place of each problem."""
    try:
        error = json.loads(content)["error"]
        details = [f"  {_place(detail)}: {detail['msg']}" for detail in error["details"] if "msg" in detail]
        return "\n".join(shown(line) for line in [error["message"], *details])
    except (ValueError, KeyError, TypeError):
        return f"The service answered {status}: check AGENTFLOW_URL."


def _place(detail: Mapping[str, Any]) -> str:
    return ".".join(str(step) for step in detail["loc"] if step != "body")
