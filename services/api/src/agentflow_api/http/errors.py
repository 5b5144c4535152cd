"""Errors as answers: the one table of statuses."""

import logging
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException

from agentflow.errors import (
    AgentFlowError,
    ConflictError,
    InvalidError,
    NotFoundError,
    StoreUnavailableError,
    TooLargeError,
)
from agentflow_api.agents.registry import UnknownAgentError
from agentflow_api.http.envelope import failure
from agentflow_api.http.problems import (
    BodyTooLargeError,
    InvalidBodyError,
    InvalidParameterError,
    RequestError,
    UnsupportedBodyError,
)
from agentflow_tenancy import CredentialError, ForbiddenError, Principal

logger = logging.getLogger("agentflow.api")

# The first class an error is an instance of decides.
STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (CredentialError, 401),
    (ForbiddenError, 403),
    (UnknownAgentError, 404),
    (NotFoundError, 404),
    (BodyTooLargeError, 413),
    (TooLargeError, 413),
    (UnsupportedBodyError, 415),
    (InvalidBodyError, 422),
    (InvalidParameterError, 422),
    (RequestError, 400),
    (ConflictError, 409),
    (InvalidError, 422),
    (StoreUnavailableError, 503),
    (AgentFlowError, 500),
)

# What the framework itself refuses.
_FRAMEWORK_CODES: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}

_RETRY_AFTER_S: Final = "1"


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to an error; nothing of the inside shows."""
    if isinstance(error, HTTPException):
        code = _FRAMEWORK_CODES.get(
            error.status_code, "BAD_REQUEST" if error.status_code < 500 else "INTERNAL_ERROR"
        )
        return failure(error.status_code, code, error.detail if error.status_code < 500 else _INTERNAL)
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return _known(request, error, status)
    logger.error("A request failed in an unforeseen way.", exc_info=error)
    return failure(500, "INTERNAL_ERROR", _INTERNAL)


_INTERNAL: Final = (
    "Something went wrong here. It was logged; try again, and report the request id if it stays."
)


def _known(request: Request[Any, Any, Any], error: Exception, status: int) -> Response[bytes]:
    message = _public(request, str(error))
    headers = {}
    if isinstance(error, NotFoundError):
        message = "There is no such thread."  # the same for somebody else's
    elif status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif status == 503:
        headers["Retry-After"] = _RETRY_AFTER_S
        logger.warning("Postgres is away: %s", type(error.__cause__).__name__)
    code = getattr(error, "code", "ERROR")
    return failure(status, code, message, getattr(error, "details", ()), headers)


def _public(request: Request[Any, Any, Any], message: str) -> str:
    """The message with thread ids as their tenant knows them."""
    principal = request.scope["state"].get("principal")
    return message.replace(principal.stored_id(""), "") if isinstance(principal, Principal) else message
