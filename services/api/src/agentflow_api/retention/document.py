"""What the document says of retention."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import query
from agentflow_api.http.document.shapes import maybe, plain, record, whole

_RETENTION: Final = record(
    "Retention",
    {
        "retention_days": maybe(whole(90, 1)),
        "keep_checkpoints": maybe(whole(50, 1)),
        "threads": whole(120),
        "due": whole(12),
        "would_delete": plain(
            {
                "threads": whole(11),
                "expired": whole(1),
                "unchanged": whole(10),
                "checkpoints": whole(330),
                "messages": whole(220),
                "size_bytes": whole(40960),
            }
        ),
        "would_stay": plain({"running": whole(0), "waiting": whole(1)}),
        "would_forget": plain({"checkpoints": whole(40)}),
    },
)
_DAYS: Final = query(
    "retention_days", whole(30, 1, maximum=36_500), "Ask about this one in place of the tenant's own."
)
_VERSIONS: Final = query(
    "keep_checkpoints", whole(50, 1, maximum=1_000_000), "Ask about this one in place of the tenant's own."
)

OPERATIONS: Final[Operations] = {
    "GET /v1/tenant/retention": Described("tenant", _RETENTION, parameters=(_DAYS, _VERSIONS)),
    "GET /v1/admin/tenants/{named}/retention": Described(
        "operator: tenants", _RETENTION, parameters=(_DAYS, _VERSIONS)
    ),
}
