"""What the document says of usage."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import FROM, GRANULARITY, LIMIT, TO, query
from agentflow_api.http.document.shapes import ID, TIME, listed, maybe, one_of, plain, record, text, whole
from agentflow_api.keys.shapes import LIMITS

_COUNTS: Final = dict.fromkeys(("runs", "checkpoints", "tokens_in", "tokens_out"), whole(12)) | dict.fromkeys(
    ("stored_bytes", "threads"), whole(3, None)
)
_SPAN: Final = {"from": TIME, "to": TIME}
_OF_ONE: Final = record(
    "Usage",
    {
        **_SPAN,
        "granularity": one_of("day", "hour"),
        "buckets": listed(plain({"start": TIME, **_COUNTS})),
        "total": plain(_COUNTS),
        "kept": plain({"threads": whole(3), "stored_bytes": whole(4096)}),
        "today": plain({"tokens": whole(4096), "checkpoints": whole(12)}),
        "limits": LIMITS,
    },
)
_OF_ALL: Final = plain(
    {
        **_SPAN,
        "tenants": listed(plain({"tenant_id": ID, "slug": text("acme"), **_COUNTS})),
        "next": maybe(text("acme"), None),
    }
)
_AFTER: Final = query(
    "after", text("acme", maxLength=100), "The tenant that the last page ended with: `next`."
)

OPERATIONS: Final[Operations] = {
    "GET /v1/usage": Described("usage", _OF_ONE, parameters=(FROM, TO, GRANULARITY)),
    "GET /v1/admin/tenants/{named}/usage": Described(
        "operator: usage", _OF_ONE, parameters=(FROM, TO, GRANULARITY), errors=(404,)
    ),
    "GET /v1/admin/usage": Described("operator: usage", _OF_ALL, parameters=(FROM, TO, _AFTER, LIMIT)),
}
