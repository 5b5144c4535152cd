"""What the document says of the health routes."""

from typing import Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.shapes import YES, Shape, listed, maybe, one_of, plain, record, text, whole

_REDIS: Final = one_of("ok", "degraded", "off")
_READY: Final = plain({"postgres": one_of("ok"), "redis": _REDIS, "quotas": _REDIS})
_POOL: Final = plain({"size": whole(20), "in_use": whole(1)})
_QUEUE: Final = plain({"waiting": whole(0), "running": whole(1), "oldest_s": Shape({"type": "number"}, 0.5)})
_FINDING: Final = record(
    "Finding",
    {
        "check": text("migrations"),
        "level": one_of("ok", "warning", "error"),
        "found": text("at 0031, the newest"),
        "advice": maybe(text("run `agentflow-cloud migrate`"), None),
    },
)
_HEALTH: Final = plain(
    {
        "postgres": plain({"state": one_of("ok", "away"), "pool": maybe(_POOL)}),
        "redis": plain({"state": _REDIS}),
        "quotas": plain({"state": _REDIS}),
        "modes": plain({"cache": YES, "quotas": YES}),
        "queue": maybe(_QUEUE),
        "offboarding_backlog": maybe(whole(0)),
        "findings": maybe(listed(_FINDING)),
    }
)

OPERATIONS: Final[Operations] = {
    "GET /ping": Described("health", Shape({"type": "string", "const": "pong"}, "pong")),
    "GET /health/ready": Described("health", _READY, errors=(503,)),
    "GET /v1/admin/health": Described("operator: health", _HEALTH),
}
