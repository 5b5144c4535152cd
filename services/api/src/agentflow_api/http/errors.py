"""Errors as answers: the one table of statuses."""

import logging
import time
from typing import Any, Final

from litestar import Request, Response
from litestar.exceptions import HTTPException

from agentflow.errors import (
    AgentFlowError,
    ConfigurationError,
    ConflictError,
    GraphDefinitionError,
    InvalidError,
    NodeError,
    NotFoundError,
    StoreUnavailableError,
    TenantGoneError,
    TokenBudgetExceededError,
    TooLargeError,
)
from agentflow_api.http.envelope import failure
from agentflow_api.http.problems import (
    BodyTooLargeError,
    BodyTooSlowError,
    ClientGoneError,
    ConflictingError,
    InvalidBodyError,
    InvalidParameterError,
    NotThereError,
    RequestError,
    StoppingError,
    UnsupportedBodyError,
)
from agentflow_api.http.quota_answers import details_of, sizes_in
from agentflow_api.http.rate_limit_fields import rate_limit_fields
from agentflow_hosting.agents.registry import UnknownAgentError
from agentflow_hosting.idempotency import IdempotencyInProgressError, IdempotencyKeyReusedError
from agentflow_hosting.public_errors import INTERNAL, public_text
from agentflow_hosting.run_reader import ChunksGoneError
from agentflow_tenancy import (
    CredentialError,
    ForbiddenError,
    InvalidLimitsError,
    InvalidSlugError,
    OverloadedError,
    Principal,
    QuotaExceededError,
    QuotasUnavailableError,
    SlugTakenError,
    TenantLeavingError,
)
from agentflow_tenancy.errors import (
    IssuerTakenError,
    MoveConflictError,
    OffboardingConflictError,
    TooManyIssuersError,
)
from agentflow_tenancy.exports.errors import (
    ExportError,
    LinkError,
    NoRoomError,
    ThreadsExistError,
    TooManyExportsError,
)
from agentflow_tenancy.quotas import DAY_S

logger = logging.getLogger("agentflow.api")

# The first class an error is an instance of decides.
STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (CredentialError, 401),
    (TenantLeavingError, 410),
    (TenantGoneError, 410),
    (ForbiddenError, 403),
    (QuotaExceededError, 429),
    (TokenBudgetExceededError, 429),
    (OverloadedError, 503),
    (QuotasUnavailableError, 503),
    (UnknownAgentError, 404),
    (NotFoundError, 404),
    (BodyTooSlowError, 408),
    (BodyTooLargeError, 413),
    (TooLargeError, 413),
    (UnsupportedBodyError, 415),
    (InvalidBodyError, 422),
    (InvalidParameterError, 422),
    (ClientGoneError, 499),  # nobody reads it
    (StoppingError, 503),
    (NotThereError, 404),
    (ChunksGoneError, 410),
    (ConflictingError, 409),
    (IdempotencyInProgressError, 409),
    (IdempotencyKeyReusedError, 422),
    (SlugTakenError, 409),
    (IssuerTakenError, 409),
    (ThreadsExistError, 409),
    (NoRoomError, 429),
    (TooManyExportsError, 409),
    (ExportError, 422),
    (LinkError, 410),
    (TooManyIssuersError, 409),
    (MoveConflictError, 409),
    (OffboardingConflictError, 409),
    (InvalidSlugError, 422),
    (InvalidLimitsError, 422),
    (RequestError, 400),
    (ConflictError, 409),
    (ConfigurationError, 500),  # ours, not the client's
    (GraphDefinitionError, 500),
    (NodeError, 500),  # also where what it made is invalid: the client did not make it
    (InvalidError, 422),
    (StoreUnavailableError, 503),
    (AgentFlowError, 500),
)

# What the framework itself refuses.
_FRAMEWORK_CODES: Final = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}

_RETRY_AFTER_S: Final = "1"

# In a request's state: details of what was done all the same, for whatever error ends it.
PROGRESS: Final = "progress_details"


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to an error; nothing of the inside shows."""
    if isinstance(error, HTTPException):
        code = _FRAMEWORK_CODES.get(
            error.status_code, "BAD_REQUEST" if error.status_code < 500 else "INTERNAL_ERROR"
        )
        return failure(error.status_code, code, error.detail if error.status_code < 500 else INTERNAL)
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return _known(request, error, status)
    answer = failure(500, "INTERNAL_ERROR", INTERNAL)
    logger.error("The request failed in an unforeseen way.", exc_info=error)
    return answer


def public_failure(error: Exception, principal: Principal) -> tuple[str, str]:
    """Code and text of an error, for an answer that has no status."""
    return getattr(error, "code", "ERROR"), public_text(error, principal.stored_id(""))


def _known(request: Request[Any, Any, Any], error: Exception, status: int) -> Response[bytes]:
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    elif status == 503 or isinstance(error, IdempotencyInProgressError):
        headers["Retry-After"] = _RETRY_AFTER_S
    elif isinstance(error, TokenBudgetExceededError):
        headers["Retry-After"] = str(_until_tomorrow_s())
    details = getattr(error, "details", ())
    if isinstance(error, QuotaExceededError):
        headers |= rate_limit_fields(error.decision)
        details = details_of(error)
    elif isinstance(error, TooLargeError):
        details = sizes_in(error)
    details = [*details, *request.scope["state"].get(PROGRESS, ())]
    code = getattr(error, "code", "ERROR")
    answer = failure(status, code, _public_text(request, error), details, headers)
    if status >= 500:
        trace = error if status == 500 else None
        logger.warning("Answered %d: %s", status, error, exc_info=trace)
    return answer


def _until_tomorrow_s() -> int:
    """What is spent by the day is there again with the next one, of UTC."""
    return max(1, DAY_S - int(time.time()) % DAY_S)


def _public_text(request: Request[Any, Any, Any], error: Exception) -> str:
    """What the client is told, with thread ids as their tenant knows them."""
    principal = request.scope["state"].get("principal")
    return public_text(error, principal.stored_id("") if isinstance(principal, Principal) else None)
