"""What the document says of what runs did."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import THREAD_ID, query
from agentflow_api.http.document.shapes import (
    DATA,
    ID,
    NUMBER,
    TIME,
    listed,
    maybe,
    plain,
    record,
    text,
    whole,
)

# A program with the library at the same store gives its runs ids of its own.
_RUN_ID: Final = text(ID.example)
_OBSERVED: Final = record(
    "ObservedRun",
    {
        "run_id": _RUN_ID,
        "thread_id": THREAD_ID,
        "status": text("completed"),
        "started_at": maybe(TIME),
        "finished_at": maybe(TIME),
        "duration_ms": maybe(NUMBER),
        "spans": listed(DATA),
        "events": listed(DATA),
        "usage": DATA,
        "llm_calls": whole(1),
        "tool_calls": whole(0),
        "iterations": whole(2),
    },
)
OPERATIONS: Final[Operations] = {
    "GET /v1/observability/{thread_id}": Described(
        "runs",
        plain(
            {
                "thread_id": THREAD_ID,
                "run_count": whole(1),
                "run_ids": listed(_RUN_ID),
                "run": maybe(_OBSERVED),
            }
        ),
        parameters=(query("run_id", text("3f2a9c", maxLength=255), "Which run; the latest if not said."),),
    ),
}
