"""What the document says of the health routes."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.shapes import Shape, one_of, plain

_REDIS: Final = one_of("ok", "degraded", "off")
_READY: Final = plain({"postgres": one_of("ok"), "redis": _REDIS, "quotas": _REDIS})

OPERATIONS: Final[Operations] = {
    "GET /ping": Described("health", Shape({"type": "string", "const": "pong"}, "pong")),
    "GET /health/ready": Described("health", _READY, errors=(503,)),
}
