"""What the document says of a thread's past."""

from typing import Any, Final

from agentflow_api.history.schemas import CopyRequest, ForkRequest
from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import CURSOR, LIMIT, MOST, THREAD_ID, query
from agentflow_api.http.document.shapes import (
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
from agentflow_api.threads.shapes import STATE

_CHECKPOINT: Final = record(
    "Checkpoint",
    {
        "seq": whole(3, 1),
        "parent": whole(2),
        "node": text("assistant"),
        "step": whole(2),
        "source": one_of("node", "input", "branch", "update", "fork", "rollback"),
        "run_id": text("0198f3c2-7a51-7c3e-9d43-1f0e5a6b7c8d"),
        "created_at": TIME,
    },
)
_MADE: Final = plain({"thread_id": THREAD_ID, "checkpoint": whole(4)})
_BEFORE: Final = query("before", whole(10, 0, maximum=MOST), "Only checkpoints before this one.")
_ONE: Final = "/v1/threads/{thread_id}"


def _history(answer: Shape, **more: Any) -> Described:
    return Described("history", answer, **more)


OPERATIONS: Final[Operations] = {
    f"GET {_ONE}/history": _history(page("checkpoints", _CHECKPOINT), parameters=(LIMIT, CURSOR, _BEFORE)),
    f"GET {_ONE}/history/{{seq}}": _history(plain({"checkpoint": _CHECKPOINT})),
    f"GET {_ONE}/history/{{seq}}/state": _history(plain({"state": maybe(STATE)})),
    f"POST {_ONE}/fork": _history(
        _MADE,
        status=201,
        also=(200,),
        body=of_model(ForkRequest, {"checkpoint": 3, "to_thread": "support-42-again"}),
        repeatable=True,
    ),
    f"POST {_ONE}/copy": _history(
        _MADE,
        status=201,
        body=of_model(CopyRequest, {"to_thread": "support-42-copy", "with_history": True}),
        needs_body=False,
        repeatable=True,
    ),
}
