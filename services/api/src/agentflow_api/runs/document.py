"""What the document says of runs."""

import json
from typing import Any, Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.failures import header
from agentflow_api.http.document.parameters import CURSOR, LAST_EVENT_ID, LIMIT, MOST, THREAD_ID, query
from agentflow_api.http.document.shapes import (
    ANYTHING,
    DATA,
    ID,
    NO,
    NUMBER,
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
from agentflow_api.runs.schemas import CancelRequest, RunRequest
from agentflow_api.runs.streaming import EVENTS, NDJSON
from agentflow_api.threads.shapes import INTERRUPT, MESSAGE, SAID, STATE
from agentflow_hosting.runs import STATUSES

_JSON: Final = "application/json"
_WEBHOOK: Final = record(
    "WebhookStatus",
    {
        "attempts": whole(1),
        "last_status": maybe(whole(200)),
        "last_error": maybe(text("the address answers 500"), None),
        "last_at": maybe(TIME),
        "delivered_at": maybe(TIME),
    },
)
RUN: Final = record(
    "Run",
    {
        "run_id": ID,
        "thread_id": THREAD_ID,
        "agent": text("assistant"),
        "kind": one_of("background", "stream"),
        "status": one_of(*STATUSES),
        "strategy": one_of("enqueue", "reject", "interrupt", "rollback"),
        "metadata": DATA,
        "created_at": TIME,
        "started_at": maybe(TIME, None),
        "finished_at": maybe(TIME, None),
        "attempts": whole(0),
        "chunks": whole(0),
        "error": maybe(plain({"code": text("NODE_EXECUTION"), "message": text("The agent failed.")}), None),
        "cancel": maybe(one_of("interrupt", "rollback"), None),
        "webhook": maybe(text("https://example.com/told"), None),
        "webhook_status": maybe(_WEBHOOK, None),
    },
)
RESULT: Final = record(
    "Result",
    {
        "messages": listed(MESSAGE),
        "state": maybe(STATE),
        "context": maybe(listed(MESSAGE)),
        "summary": maybe(text("Asks for an order."), None),
        "meta": plain(
            {"is_new_thread": NO, "thread_id": THREAD_ID, "interrupts": listed(INTERRUPT)}, "interrupts"
        ),
    },
)
_CHUNK: Final = record(
    "Chunk",
    {
        "event": one_of("message", "updates", "state", "error"),
        "message": maybe(MESSAGE),
        "state": maybe(STATE, None),
        "data": ANYTHING,
        "thread_id": THREAD_ID,
        "run_id": ID,
        "metadata": plain({"thread_id": THREAD_ID}),
        "timestamp": NUMBER,
        "seq": whole(0),
    },
)
_END: Final = plain({"run_id": ID, "status": maybe(one_of(*STATUSES))})
# A text as a whole, of which each line is a chunk; and one event of many, whose data is one.
_LINES: Final = Shape(
    {"type": "string", "contentMediaType": _JSON, "contentSchema": _CHUNK.schema},
    json.dumps(_CHUNK.example) + "\n",
    _CHUNK.parts,
)
_EVENT_DATA: Final = Shape(
    {"type": "string", "contentMediaType": _JSON, "contentSchema": either(_CHUNK, _END).schema},
    json.dumps(_CHUNK.example),
    _CHUNK.parts,
)
_EVENTS: Final = plain(
    {
        "id": text("0"),
        "event": one_of("message", "updates", "state", "error", "end"),
        "data": _EVENT_DATA,
    },
    "id",
)
ONLY_EVENTS: Final = {EVENTS: _EVENTS}
LINES_OR_EVENTS: Final = {NDJSON: _LINES, EVENTS: _EVENTS}
STREAM_HEADERS: Final = {
    "x-run-id": header("The run's id.", {"type": "string", "format": "uuid"}, required=True),
    "x-thread-id": header("The thread's id.", required=True),
}
_STATUS: Final = query("status", one_of(*STATUSES), "Only runs that stand so.")
_AFTER: Final = query("after", whole(17, 0, maximum=MOST), "The last chunk that the reader has.")
_BODY: Final = of_model(
    RunRequest, {"messages": [SAID], "response_granularity": "low", "multitask_strategy": "enqueue"}
)
_CANCEL: Final = of_model(CancelRequest, {"action": "interrupt", "wait": True})
_OF_THREAD: Final = "/v1/threads/{thread_id}/runs"
_ONE: Final = f"{_OF_THREAD}/{{run_id}}"
_ENDED: Final = plain({"run": RUN, "result": maybe(RESULT)})


def _run(answer: Shape | None, **more: Any) -> Described:
    return Described("runs", answer, **more)


def _made(answer: Shape | None, **more: Any) -> Described:
    return _run(answer, body=_BODY, repeatable=True, **more)


OPERATIONS: Final[Operations] = {
    "GET /v1/runs": _run(page("runs", RUN), parameters=(LIMIT, CURSOR, _STATUS)),
    f"GET {_OF_THREAD}": _run(page("runs", RUN), parameters=(LIMIT, CURSOR, _STATUS)),
    f"POST {_OF_THREAD}": _made(plain({"run": RUN}), status=202),
    f"POST {_OF_THREAD}/wait": _made(_ENDED),
    f"POST {_OF_THREAD}/stream": _made(None, streams=ONLY_EVENTS, headers=STREAM_HEADERS, errors=(410,)),
    f"GET {_ONE}": _run(plain({"run": RUN})),
    f"POST {_ONE}/cancel": _run(
        plain({"run": RUN}), body=_CANCEL, needs_body=False, errors=(409,), repeatable=True
    ),
    f"GET {_ONE}/join": _run(_ENDED),
    f"GET {_ONE}/stream": _run(
        None,
        streams=LINES_OR_EVENTS,
        headers=STREAM_HEADERS,
        parameters=(_AFTER, LAST_EVENT_ID),
        errors=(410,),
    ),
}
