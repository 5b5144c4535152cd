"""Keys and limits, as the document has them."""

from typing import Final

from agentflow_api.http.document.shapes import (
    TIME,
    Shape,
    listed,
    maybe,
    of_model,
    one_of,
    plain,
    record,
    text,
)
from agentflow_api.keys.schemas import NewKey, Rotation
from agentflow_tenancy import ALL_SCOPES
from agentflow_tenancy.plans import LIMIT_NAMES

_LIMIT: Final = {"type": "integer", "minimum": 0}
LIMITS: Final = Shape(
    {"$ref": "#/components/schemas/Limits"},
    {"requests_per_minute": 600},
    {"Limits": {"type": "object", "properties": dict.fromkeys(LIMIT_NAMES, _LIMIT)}},
)
SCOPES: Final = listed(one_of(*ALL_SCOPES))
KEY: Final = record(
    "Key",
    {
        "key_id": text("k3x9q2m7w1z8"),
        "prefix": text("af_live_k3x9q2m7w1z8"),
        "name": text("backend"),
        "scopes": SCOPES,
        "state": one_of("active", "rotated", "expired", "revoked"),
        "created_at": TIME,
        "created_by": maybe(text("operator")),
        "expires_at": maybe(TIME, None),
        "revoked_at": maybe(TIME, None),
        "last_used_at": maybe(TIME),
        "replaced_by": maybe(text("m1n2b3v4c5x6"), None),
        "limits": LIMITS,
    },
)
SECRET: Final = text("af_live_k3x9q2m7w1z8_...")
CREATED: Final = plain({"api_key": SECRET, "key": KEY})
ROTATED: Final = plain({"api_key": SECRET, "key": KEY, "replaced": KEY})
NEW_KEY: Final = of_model(NewKey, {"name": "backend", "scopes": ["threads:read", "graph:invoke"]})
ROTATION: Final = of_model(Rotation, {"overlap_s": 3600})
