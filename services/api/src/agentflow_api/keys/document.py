"""What the document says of a tenant's own keys."""

from typing import Any, Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import CURSOR, LIMIT
from agentflow_api.http.document.shapes import Shape, page
from agentflow_api.keys.shapes import CREATED, KEY, NEW_KEY, ROTATED, ROTATION


def _key(answer: Shape, **more: Any) -> Described:
    return Described("keys", answer, **more)


OPERATIONS: Final[Operations] = {
    "GET /v1/keys": _key(page("keys", KEY), parameters=(LIMIT, CURSOR)),
    "POST /v1/keys": _key(CREATED, status=201, body=NEW_KEY, needs_body=False, repeatable=True),
    "GET /v1/keys/{key_id}": _key(KEY),
    "DELETE /v1/keys/{key_id}": _key(KEY),
    "POST /v1/keys/{key_id}/rotate": _key(
        ROTATED, status=201, body=ROTATION, needs_body=False, errors=(409,), repeatable=True
    ),
}
