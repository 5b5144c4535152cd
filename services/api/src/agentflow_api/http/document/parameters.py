"""Parameters that several operations take, as the document has them."""

from typing import Any, Final

from agentflow_api.http.document.shapes import Shape, one_of, text, whole
from agentflow_api.http.parameters import DEFAULT_PAGE, MAX_PAGE

MOST: Final = 2**31 - 1


def query(name: str, shape: Shape, description: str) -> dict[str, Any]:
    """A parameter of the query; none must be there."""
    return _parameter(name, "query", shape, description)


def in_header(name: str, shape: Shape, description: str) -> dict[str, Any]:
    """A header field; none must be there."""
    return _parameter(name, "header", shape, description)


def in_path(name: str) -> dict[str, Any]:
    """A parameter of the path."""
    shape, description = _IN_PATHS[name]
    return {**_parameter(name, "path", shape, description), "required": True}


def _parameter(name: str, place: str, shape: Shape, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": False,
        "description": description,
        "schema": dict(shape.schema),
        "example": shape.example,
    }


# What a path can carry and the store keeps: no control character, none of / ? #.
_WORD: Final = r"^[^\x00-\x1f\x7f/?#]+$"
THREAD_ID: Final = text("support-42", minLength=1, maxLength=255, pattern=_WORD)
_UUID: Final = text("0198f3c2-7a51-7c3e-9d43-1f0e5a6b7c8d", format="uuid")

_IN_PATHS: Final[dict[str, tuple[Shape, str]]] = {
    "thread_id": (THREAD_ID, "The thread's id, as its maker chose it; at most 255 bytes."),
    "message_id": (text("3f2a9c", minLength=1), "The message's id, unique within its thread."),
    "run_id": (_UUID, "The run's id."),
    "seq": (whole(3, 1, maximum=MOST - 1), "The checkpoint's number."),
    "key_id": (text("k3x9q2m7w1z8", minLength=1), "The key's id, which is no secret."),
    "issuer_id": (_UUID, "The issuer's id."),
    "named": (text("acme", minLength=1), "The tenant's slug or id."),
    "operation_id": (_UUID, "The operation's id."),
    "offboarding_id": (_UUID, "The offboarding's id."),
    "receipt_id": (_UUID, "The receipt's id: that of its offboarding."),
    "export_id": (_UUID, "The export's id."),
    "import_id": (_UUID, "The import's id."),
    "memory_id": (text("m1", minLength=1), "The memory's id."),
    "file_id": (text("f1", minLength=1), "The file's id."),
}

LIMIT: Final = query(
    "limit",
    whole(20, 1, maximum=MAX_PAGE, default=DEFAULT_PAGE),
    f"How many at most; {DEFAULT_PAGE} if not said.",
)
OFFSET: Final = query("offset", whole(0, 0, maximum=MOST, default=0), "How many to pass over.")
SEARCH: Final = query("search", text("invoice", maxLength=1000), "Text that must occur.")
CURSOR: Final = query(
    "cursor", text("MTc", maxLength=100), "Behind what the page begins: `next_cursor` of the page before."
)
GRANULARITY: Final = query("granularity", one_of("day", "hour"), "What is added up; days if not said.")
FROM: Final = query("from", text("2026-03-01T00:00:00Z"), "From this time on: ISO 8601, UTC if not said.")
TO: Final = query("to", text("2026-03-08"), "Until before this time; until now if not said.")
IDEMPOTENCY_KEY: Final = in_header(
    "Idempotency-Key",
    text("order-7391-attempt", minLength=1, maxLength=255, pattern=r"^[\x20-\x7e]+$"),
    "Makes a request safe to repeat: with the same key and body it has one effect and one answer.",
)
LAST_EVENT_ID: Final = in_header(
    "Last-Event-ID",
    text("17", pattern="^[0-9]{0,18}$"),
    "The last event the reader has, as browsers send it when they connect again: it goes before `after`. Of "
    "server-sent events only.",
)
