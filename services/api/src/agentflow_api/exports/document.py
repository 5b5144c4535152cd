"""What the document says of exports and imports."""

from typing import Any, Final

from agentflow_api.exports.downloading import LONGEST_LINK, LONGEST_RANGE, TAR
from agentflow_api.exports.schemas import ExportBody, LinkBody
from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.failures import header
from agentflow_api.http.document.parameters import CURSOR, LIMIT, THREAD_ID, in_header, query
from agentflow_api.http.document.shapes import (
    ID,
    NO,
    TIME,
    Shape,
    maybe,
    of_model,
    one_of,
    page,
    plain,
    record,
    text,
    whole,
)

_PROGRESS: Final = plain(
    {
        "threads_done": whole(10),
        "threads_total": maybe(whole(40)),
        "part": Shape({"type": "number", "minimum": 0, "maximum": 1}, 0.25),
    }
)
_SHA256: Final = text(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", pattern="^[0-9a-f]{64}$"
)
_ERROR: Final = plain({"code": maybe(text("INVALID_ARCHIVE")), "message": text("The archive is cut off.")})
_COMMON: Final = {
    "state": one_of("queued", "running", "done", "failed", "cancelled", "expired"),
    "cancel_requested": NO,
    "progress": _PROGRESS,
    "size_bytes": whole(81920),
    "sha256": maybe(_SHA256),
    "attempts": whole(1),
    "error": maybe(_ERROR, None),
    "requested_by": text("operator"),
    "created_at": TIME,
    "started_at": maybe(TIME),
    "finished_at": maybe(TIME, None),
}
_EXPORT: Final = record(
    "Export",
    {
        "export_id": ID,
        "thread_id": maybe(THREAD_ID, None),
        "user_id": maybe(text("alex"), None),
        **_COMMON,
        "expires_at": maybe(TIME),
    },
)
_IMPORT: Final = record("Import", {"import_id": ID, **_COMMON})
_LINK: Final = record(
    "DownloadLink",
    {
        "url": text("/downloads?link=AZjzwnpR"),
        "expires_at": TIME,
        "size_bytes": whole(81920),
        "sha256": _SHA256,
    },
)
_ARCHIVE: Final = Shape({"type": "string", "format": "binary"}, "...")
_ASKED: Final = of_model(ExportBody, {"user_id": "alex"})
_TERM: Final = of_model(LinkBody, {"expires_in_s": 600})
_RANGE: Final = in_header(
    "Range", text("bytes=1048576-", maxLength=LONGEST_RANGE), "Only these bytes: to go on with a download."
)
_BY_LINK: Final = query("link", text("AZjzwnpR", maxLength=LONGEST_LINK), "As the link has it.")
_BEYOND: Final = "/v1/admin/tenants/{named}"


def _said(answer: Shape, tag: str = "exports", **more: Any) -> Described:
    return Described(tag, answer, **more)


def _asked_for(**more: Any) -> Described:
    return _said(
        plain({"export": _EXPORT}),
        status=202,
        body=_ASKED,
        needs_body=False,
        repeatable=True,
        errors=(409,),
        **more,
    )


def _linked(**more: Any) -> Described:
    return _said(_LINK, status=201, body=_TERM, needs_body=False, errors=(409,), **more)


def _taken(**more: Any) -> Described:
    return _said(
        plain({"import": _IMPORT}),
        status=202,
        takes={TAR: _ARCHIVE},
        errors=(408, 409, 413, 415, 422),
        **more,
    )


_OF_OPERATOR: Final = {"tag": "operator: exports"}
OPERATIONS: Final[Operations] = {
    "POST /v1/exports": _asked_for(),
    "GET /v1/exports": _said(page("exports", _EXPORT), parameters=(LIMIT, CURSOR)),
    "GET /v1/exports/{export_id}": _said(_EXPORT),
    "DELETE /v1/exports/{export_id}": _said(_EXPORT, errors=(409,)),
    "POST /v1/exports/{export_id}/link": _linked(),
    "POST /v1/imports": _taken(),
    "GET /v1/imports": _said(page("imports", _IMPORT), parameters=(LIMIT, CURSOR)),
    "GET /v1/imports/{import_id}": _said(_IMPORT),
    "DELETE /v1/imports/{import_id}": _said(_IMPORT, errors=(409,)),
    f"POST {_BEYOND}/exports": _asked_for(**_OF_OPERATOR),
    f"GET {_BEYOND}/exports/{{export_id}}": _said(_EXPORT, **_OF_OPERATOR),
    f"POST {_BEYOND}/exports/{{export_id}}/link": _linked(**_OF_OPERATOR),
    f"POST {_BEYOND}/imports": _taken(**_OF_OPERATOR),
    f"GET {_BEYOND}/imports/{{import_id}}": _said(_IMPORT, **_OF_OPERATOR),
    "GET /downloads": Described(
        "exports",
        None,
        streams={TAR: _ARCHIVE},
        also=(206,),
        parameters=(_BY_LINK, _RANGE),
        errors=(410, 416),
        headers={
            "ETag": header("The archive's SHA-256."),
            "Content-Range": header("Which bytes these are, where a range was asked for."),
        },
        enveloped=False,
    ),
}
