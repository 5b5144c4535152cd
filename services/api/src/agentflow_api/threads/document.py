"""What the document says of threads."""

from typing import Any, Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.failures import header
from agentflow_api.http.document.parameters import LIMIT, MOST, OFFSET, SEARCH, THREAD_ID, query
from agentflow_api.http.document.shapes import (
    CURSOR,
    NO,
    Shape,
    done,
    either,
    listed,
    maybe,
    of_model,
    plain,
    text,
    whole,
)
from agentflow_api.threads.attributes import ThreadPatch
from agentflow_api.threads.downloading import VERSION
from agentflow_api.threads.editing import MessagesRequest, StateRequest
from agentflow_api.threads.search.schemas import DeleteRequest, SearchRequest
from agentflow_api.threads.shapes import FOUND_THREAD, MESSAGE, SAID, STATE, THREAD, whole_thread

_PAGE: Final = (SEARCH, OFFSET, LIMIT)
# Clients send a config with it, which says nothing.
_ANY_OBJECT: Final = Shape({"type": "object", "additionalProperties": True}, {"config": {}})
_ONE: Final = "/v1/threads/{thread_id}"
_VERSION: Final = query(
    "version",
    whole(17, 0, maximum=MOST),
    "Of JSON lines: go on with this version of the thread, as `x-thread-version` named it.",
)
_MESSAGES: Final = of_model(MessagesRequest, {"config": {}, "messages": [SAID], "metadata": {}})
_DELETED: Final = plain(
    {
        "dry_run": NO,
        "count": whole(1),
        "deleted": whole(1),
        "thread_ids": listed(THREAD_ID),
        "more": NO,
    }
)


def _thread(answer: Shape | None, **more: Any) -> Described:
    return Described("threads", answer, **more)


def _deletion(answer: Shape, **more: Any) -> Described:
    return _thread(answer, body=_ANY_OBJECT, needs_body=False, **more)


OPERATIONS: Final[Operations] = {
    "GET /v1/threads": _thread(plain({"threads": listed(THREAD)}), parameters=_PAGE),
    f"GET {_ONE}": _thread(whole_thread(waits=True)),
    f"PATCH {_ONE}": _thread(
        whole_thread(waits=False),
        body=of_model(
            ThreadPatch,
            {
                "thread_name": "Order 7391",
                "metadata": {"topic": "billing"},
                "expires_at": "2031-01-01T00:00:00Z",
            },
        ),
        errors=(409,),
    ),
    f"DELETE {_ONE}": _deletion(done({"thread_id": THREAD_ID}), errors=(409,)),
    f"GET {_ONE}/state": _thread(plain({"state": maybe(STATE)})),
    f"PUT {_ONE}/state": _thread(
        plain({"state": STATE}),
        body=of_model(StateRequest, {"config": {}, "state": {"context": [SAID]}}),
        errors=(409,),
    ),
    f"DELETE {_ONE}/state": _deletion(done({"thread_id": THREAD_ID}), errors=(409,)),
    f"GET {_ONE}/messages": _thread(
        plain({"messages": listed(MESSAGE)}),
        parameters=(*_PAGE, _VERSION),
        line_answer=MESSAGE,
        headers={VERSION: header("Of JSON lines: the version of the thread that they are of.")},
    ),
    f"POST {_ONE}/messages": _thread(
        either(
            done({"thread_id": THREAD_ID, "message_ids": listed(text("3f2a9c"))}),
            done({"thread_id": THREAD_ID, "lines": whole(2), "added": whole(2), "skipped": whole(0)}),
        ),
        line_body=Shape({"$ref": "#/components/schemas/MessageInput"}, SAID, _MESSAGES.parts),
        body=_MESSAGES,
        repeatable=True,
    ),
    f"GET {_ONE}/messages/{{message_id}}": _thread(MESSAGE),
    f"DELETE {_ONE}/messages/{{message_id}}": _deletion(done(), errors=(409,)),
    "POST /v1/threads/search": _thread(
        plain({"threads": listed(FOUND_THREAD), "next_cursor": CURSOR}),
        body=of_model(SearchRequest, {"metadata": {"topic": "billing"}, "sort": "-updated_at", "limit": 20}),
        needs_body=False,
    ),
    "POST /v1/threads/delete": _thread(
        _DELETED,
        body=of_model(DeleteRequest, {"metadata": {"topic": "trial"}, "dry_run": False}),
        repeatable=True,
    ),
}
