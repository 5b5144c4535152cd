"""Error answers, as the document has them."""

from typing import Any, Final

from agentflow_api.http.document.shapes import Shape, listed, plain, record, text

_TEXT: Final = {"type": "string"}
_REQUEST_ID: Final = "6f1c0f0e8a4b4a0d9c57b0f5c3f8a9d1"

METADATA: Final = record(
    "Metadata",
    {
        "request_id": text(_REQUEST_ID),
        "timestamp": text("2026-03-01T12:00:00+00:00", format="date-time"),
        "message": text("OK"),
    },
)
_WHERE: Final = Shape({"type": "array", "items": {}}, ["body", "limit"])
DETAIL: Final = record(
    "ErrorDetail", {"loc": _WHERE, "msg": text("is too large"), "type": text("value_error")}
)
FAILURE: Final = record(
    "Error",
    {
        "error": plain({"code": text("BAD_REQUEST"), "message": text("..."), "details": listed(DETAIL)}),
        "metadata": METADATA,
    },
)

# Status -> name, an example's code and words.
_KNOWN: Final[dict[int, tuple[str, str, str]]] = {
    400: ("BadRequest", "BAD_REQUEST", "The body is not JSON in UTF-8 (ValueError)."),
    401: ("Unauthorized", "UNAUTHORIZED", "This credential is not valid."),
    403: ("Forbidden", "FORBIDDEN", "This credential lacks the scope 'threads:write'."),
    404: ("NotFound", "NOT_FOUND", "There is no such thread."),
    408: ("TooSlow", "BODY_TOO_SLOW", "Nothing of the body came for 30 s."),
    409: ("Conflict", "CONFLICT", "This cannot be done to what is there now."),
    410: ("Gone", "RUN_CHUNKS_GONE", "The chunks of this run are kept no more; read its thread."),
    413: ("BodyTooLarge", "BODY_TOO_LARGE", "The body is larger than 4194304 bytes."),
    415: ("UnsupportedBody", "UNSUPPORTED_BODY", "Send the body as it is, or packed with gzip."),
    416: ("NoSuchRange", "RANGE_NOT_SATISFIABLE", "The file has 81920 bytes."),
    422: ("Invalid", "VALIDATION_ERROR", "The body does not have the form this route takes."),
    429: ("QuotaExceeded", "QUOTA_EXCEEDED", "The quota requests_per_minute is used up."),
    500: ("Failed", "NODE_EXECUTION", "The agent failed."),
    503: ("Unavailable", "TRANSIENT_STORAGE_UNAVAILABLE", "The store cannot be reached; try again."),
}
_MEANING: Final = {
    400: "The request cannot be read, or carries two credentials.",
    401: "No credential, or one that is not valid.",
    403: "The credential does not open this operation.",
    404: "There is nothing of that name for whoever asks.",
    408: "The body does not come.",
    409: "What is there now, or is under way, does not let it be done.",
    410: "It was there and is kept no more.",
    413: "The body is too large.",
    415: "The body is in a form that is not taken.",
    416: "The file does not have these bytes.",
    422: "The request can be read and does not fit; `details` say where.",
    429: "A quota is used up.",
    500: "The agent's own code failed.",
    503: "Something it needs is away for the moment, or not configured.",
}


def header(
    description: str, schema: dict[str, Any] | None = None, *, required: bool = False
) -> dict[str, Any]:
    """A header field of an answer."""
    return {"description": description, "required": required, "schema": schema or _TEXT}


COMMON_HEADERS: Final = {
    "x-request-id": header("The request's id, also in the log and the audit log.", required=True),
}
RATE_HEADERS: Final = {
    "RateLimit": header("What is left of each quota, where the tenant has one."),
    "RateLimit-Policy": header("The quotas themselves."),
}
_RETRY_AFTER: Final = {
    "Retry-After": header("Seconds until it may work.", {"type": "integer", "minimum": 0}),
}
_MORE_HEADERS: Final = {
    401: {"WWW-Authenticate": header("How to send a credential.", required=True)},
    409: _RETRY_AFTER,
    429: {**_RETRY_AFTER, **RATE_HEADERS},
    503: _RETRY_AFTER,
}


def reference(status: int) -> dict[str, str]:
    """What an operation says of an error."""
    return {"$ref": f"#/components/responses/{_KNOWN[status][0]}"}


def responses() -> dict[str, Any]:
    """Every error, for the document's components."""
    return {_KNOWN[status][0]: _response(status) for status in _KNOWN}


def _response(status: int) -> dict[str, Any]:
    _, code, message = _KNOWN[status]
    metadata = {**METADATA.example, "message": message}
    details = [DETAIL.example] if status == 422 else []
    example = {"error": {"code": code, "message": message, "details": details}, "metadata": metadata}
    return {
        "description": _MEANING[status],
        "headers": COMMON_HEADERS | _MORE_HEADERS.get(status, {}),
        "content": {"application/json": {"schema": FAILURE.schema, "example": example}},
    }
