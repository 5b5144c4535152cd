"""A client of the operator's routes."""

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from agentflow_cloud.admin.target import Target, target
from agentflow_cloud.admin.text import shown
from agentflow_cloud.errors import CommandError

_TIMEOUT_S: Final = 60.0
_PAGE: Final = 1000
_TRIES: Final = 3
_PIECE_BYTES: Final = 1024 * 1024
_WAIT_S: Final = 0.5
# An answer that says that the next one may be another: nothing was done, or it is being done.
_AGAIN: Final = (502, 503, 504)


class OperatorClient:
    """Speaks to one service with the operator's token."""

    def __init__(self, target: Target) -> None:
        self._target = target
        # The token is for this address alone: an answer that sends elsewhere is not followed.
        self._opener = urllib.request.build_opener(_NoRedirects)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask for something under `/v1/admin`; one round trip, and more where an answer got lost.

        A POST carries an `Idempotency-Key` of its own, so that it has one effect however often it is sent.

        Returns:
            The answer's `data`.

        Raises:
            CommandError: The service refused, in its own words, or could not be reached.
        """
        headers = {"Authorization": f"Bearer {self._target.token}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid4())
        request = urllib.request.Request(  # noqa: S310 - the target's scheme is checked
            f"{self._target.base_url}/v1/admin{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
            method=method,
        )
        return self._answer(request)

    def all(self, path: str, name: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every entry of a listing; a round trip for each thousand."""
        asked = {**query, "limit": _PAGE}
        while True:
            page = self.call("GET", f"{path}?{urlencode(asked)}")
            yield from page[name]
            if page["next_cursor"] is None:
                return
            asked["cursor"] = page["next_cursor"]

    def upload(self, path: str, file: Path) -> Any:
        """Send a file to a route under `/v1/admin`, as it is; sent again it has the same effect.

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
                f"{self._target.base_url}/v1/admin{path}", data=content, headers=headers, method="POST"
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
                    with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                        shutil.copyfileobj(answer, content, _PIECE_BYTES)
                except urllib.error.HTTPError as error:
                    with error:
                        raise CommandError(_refusal(error.code, error.read())) from None
                except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
                    if tries == 0:
                        raise CommandError(f"The download broke off: {shown(str(error))}.") from error
                    time.sleep(_WAIT_S)

    def _answer(self, request: urllib.request.Request) -> Any:
        for left in reversed(range(_TRIES)):
            try:
                return self._data(self._answer_once(request))
            except _LostError as lost:
                if left == 0:
                    raise CommandError(str(lost)) from lost
                time.sleep(_WAIT_S)
        raise AssertionError("the last try returns or raises")

    def _answer_once(self, request: urllib.request.Request) -> bytes:
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                kind = _LostError if error.code in _AGAIN else CommandError
                raise kind(_refusal(error.code, error.read())) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            kind = _LostError if isinstance(reason, _CUT_OFF) else CommandError
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


def service() -> OperatorClient:
    """A client of the service that the environment or the state folder names.

    Raises:
        CommandError: There is none; what to set.
    """
    return OperatorClient(target())


# It was there and went away; nobody there at all is told at once.
_CUT_OFF: Final = (http.client.HTTPException, ConnectionResetError, ConnectionAbortedError, BrokenPipeError)


class _LostError(CommandError):
    """What was asked may have been done, and may be asked again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the answer is an error like others."""


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
