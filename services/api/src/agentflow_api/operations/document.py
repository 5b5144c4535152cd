"""What the document says of moves and partitions."""

from typing import Any, Final

from agentflow_api.audit.document import TENANT
from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import CURSOR, LIMIT, query
from agentflow_api.http.document.shapes import (
    ID,
    NO,
    TIME,
    Shape,
    either,
    listed,
    maybe,
    of_model,
    one_of,
    page,
    plain,
    record,
    text,
    whole,
)
from agentflow_api.operations.routes import PlacementBody

_STATES: Final = one_of("queued", "running", "done", "failed", "cancelled")
_PROGRESS: Final = plain(
    {
        "threads_moved": whole(10),
        "threads_total": maybe(whole(40)),
        "rows_moved": whole(1200),
        "part": Shape({"type": "number", "minimum": 0, "maximum": 1}, 0.25),
    }
)
_OPERATION: Final = record(
    "Operation",
    {
        "operation_id": ID,
        "tenant_id": ID,
        "kind": text("promote"),
        "from": whole(0),
        "to": maybe(whole(1000)),
        "state": _STATES,
        "step": text("copy"),
        "cancel_requested": NO,
        "progress": _PROGRESS,
        "attempts": whole(1),
        "error": maybe(text("The target was away."), None),
        "requested_by": text("operator"),
        "reason": text("Grows fast."),
        "created_at": maybe(TIME),
        "started_at": maybe(TIME),
        "finished_at": maybe(TIME, None),
    },
)
_PARTITION: Final = record(
    "Partition",
    {
        "placement": whole(0),
        "kind": one_of("pool", "dedicated"),
        "size_bytes": whole(81920),
        "tenants": whole(3),
    },
)
_PROPOSAL: Final = record(
    "Proposal",
    {
        "tenant_id": ID,
        "slug": text("acme"),
        "from": whole(0),
        "to": either(one_of("dedicated"), whole(1)),
        "reason": text("It has 40 % of its partition."),
        "bytes": whole(81920),
        "threads": whole(40),
        "checkpoints_last_hour": whole(900),
    },
)
_PARTITIONS: Final = plain({"partitions": listed(_PARTITION), "would_move": listed(_PROPOSAL)})
_STATE: Final = query("state", _STATES, "Only moves in this state.")
_ALL: Final = "/v1/admin/operations"
_ONE: Final = f"{_ALL}/{{operation_id}}"


def _operation(answer: Shape, **more: Any) -> Described:
    return Described("operator: moves", answer, **more)


OPERATIONS: Final[Operations] = {
    "POST /v1/admin/tenants/{named}/placement": _operation(
        plain({"operation": _OPERATION}),
        status=202,
        body=of_model(PlacementBody, {"placement": "dedicated", "reason": "Grows fast."}),
        errors=(409,),
        repeatable=True,
    ),
    f"GET {_ALL}": _operation(
        page("operations", _OPERATION), parameters=(LIMIT, CURSOR, TENANT, _STATE), errors=(404,)
    ),
    f"GET {_ONE}": _operation(_OPERATION),
    f"POST {_ONE}/cancel": _operation(_OPERATION, status=202, errors=(409,), repeatable=True),
    "GET /v1/admin/partitions": _operation(_PARTITIONS),
}
