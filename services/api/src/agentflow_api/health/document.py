"""What the document says of the health routes."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.shapes import Shape, one_of, plain

_READY: Final = plain({"postgres": one_of("ok"), "redis": one_of("ok", "degraded", "off")})

OPERATIONS: Final[Operations] = {
    "GET /ping": Described("health", Shape({"type": "string", "const": "pong"}, "pong")),
    "GET /health/ready": Described("health", _READY, errors=(503,)),
}
