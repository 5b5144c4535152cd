"""Every error the client raises, split by what the caller can do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agentflow.client.retry_after import retry_after_s
from agentflow.errors import AgentFlowError

if TYPE_CHECKING:
    from agentflow.client.models import InvokeResult


class ClientError(AgentFlowError):
    """Root of the client's errors.

    Attributes:
        code: What happened, for programs.
        transient: Whether the same request may well succeed when it is sent again.
    """

    code = "CLIENT"
    transient = False


# --- nothing that could be understood came back ------------------------------------------------


class ConnectionFailedError(ClientError):
    """The service could not be reached, or the connection broke; whether it did its work is not known."""

    code = "CONNECTION_FAILED"
    transient = True


class TimedOutError(ClientError):
    """No answer within the client's own time; the service may still be at work."""

    code = "TIMED_OUT"


class UnreadableAnswerError(ClientError):
    """What answered does not speak as this service does: check `base_url`."""

    code = "UNREADABLE_ANSWER"


class TooManyRoundsError(ClientError):
    """The agent kept asking for tools.

    Attributes:
        result: The last answer, whose calls were not answered.
    """

    code = "TOO_MANY_ROUNDS"

    def __init__(self, result: InvokeResult, rounds: int) -> None:
        super().__init__(
            f"The agent asked for tools in each of {rounds} rounds. Its last calls wait on thread "
            f"{result.thread_id!r}: allow more rounds, or look at what it asks for."
        )
        self.result = result


class ClientClosedError(ClientError):
    """The client was closed before: nothing was sent. Make another one."""

    code = "CLIENT_CLOSED"

    def __init__(self) -> None:
        super().__init__("This client is closed, so nothing was sent: make a new one, or close it later.")


# --- the service refused -----------------------------------------------------------------------


class ApiError(ClientError):
    """The service answered with an error.

    Attributes:
        code: The service's, such as `THREAD_NOT_FOUND`.
        status: Of HTTP.
        request_id: What to name when asking about it; None when something before the service answered.
        details: `{"loc": [...], "msg": str, "type": str}` each.
        retry_after_s: When to come again, if the service said so.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int,
        request_id: str | None = None,
        details: Sequence[Mapping[str, Any]] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{message} ({status} {code}, request {request_id or 'unknown'})")
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.details = tuple(details)
        self.retry_after_s = retry_after_s
        # The first sending of this very request is still being worked on: that one's answer comes.
        self.transient = self.transient or code == "IDEMPOTENCY_IN_PROGRESS"


class BadRequestError(ApiError):
    """The request cannot be read."""


class AuthenticationError(ApiError):
    """The key is none, or one that ended: use another."""


class ForbiddenError(ApiError):
    """The key may not do this, or its tenant is suspended."""


class NotFoundError(ApiError):
    """There is no such thing; somebody else's is not there either."""


class ConflictError(ApiError):
    """It does not fit what is there now, such as another run on the thread: look again and decide."""


class GoneError(ApiError):
    """It was there, and is kept no more."""


class TooLargeError(ApiError):
    """Over a limit of the service."""


class ValidationError(ApiError):
    """The request does not fit the route: `details` say where."""


class RateLimitedError(ApiError):
    """A quota is used up: come again after `retry_after_s`."""

    transient = True


class ServerError(ApiError):
    """The service failed; the request may be right."""


class RunFailedError(ServerError):
    """The agent itself failed: one of its nodes raised, or it did not come to an end."""


class UnavailableError(ServerError):
    """The service, or something before it, cannot answer for the moment."""

    transient = True


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    422: ValidationError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
_OF_THE_AGENT: Final = ("GRAPH_", "NODE_")


def error_of(status: int, headers: Mapping[str, str], content: bytes) -> ApiError:
    """The error that an answer is.

    Args:
        status: Of the answer; none of the 200s.
        headers: Names in lower case.
        content: Of any kind: what stands before the service may have answered.
    """
    error, metadata = _envelope(content)
    code = str(error.get("code") or f"HTTP_{status}")
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if status >= 500 and code.startswith(_OF_THE_AGENT):
        kind = RunFailedError
    details = error.get("details")
    return kind(
        str(error.get("message") or _unsaid(status)),
        code=code,
        status=status,
        request_id=metadata.get("request_id") or headers.get("x-request-id"),
        details=details if isinstance(details, list) else (),
        retry_after_s=retry_after_s(headers.get("retry-after")),
    )


def _envelope(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """`error` and `metadata`; empty where there is none."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    parts = body if isinstance(body, dict) else {}
    error, metadata = parts.get("error"), parts.get("metadata")
    return error if isinstance(error, dict) else {}, metadata if isinstance(metadata, dict) else {}


def _unsaid(status: int) -> str:
    if 300 <= status < 400:
        return "The answer sends elsewhere, where the key does not go: check base_url."
    return "The answer does not say what is wrong: something before the service may have given it."
