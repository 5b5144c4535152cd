"""What the document says of the audit log."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import CURSOR, LIMIT, query
from agentflow_api.http.document.shapes import DATA, ID, TIME, maybe, page, record, text, whole

_ENTRY: Final = record(
    "AuditEntry",
    {
        "audit_id": whole(17),
        "at": TIME,
        "tenant_id": maybe(ID),
        "actor": text("key:k3x9q2m7w1z8"),
        "action": text("key.created"),
        "target": text("m1n2b3v4c5x6"),
        "details": DATA,
        "address": maybe(text("203.0.113.7")),
        "request_id": maybe(text("6f1c0f0e8a4b4a0d9c57b0f5c3f8a9d1")),
    },
)
_PAGE: Final = page("entries", _ENTRY)
TENANT: Final = query("tenant", text("acme"), "Only what concerns this tenant: its slug or id.")

OPERATIONS: Final[Operations] = {
    "GET /v1/audit": Described("audit", _PAGE, parameters=(LIMIT, CURSOR)),
    "GET /v1/admin/audit": Described(
        "operator: audit", _PAGE, parameters=(LIMIT, CURSOR, TENANT), errors=(404,)
    ),
}
