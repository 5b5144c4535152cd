"""What the document says of the operator's tenants and their keys."""

from typing import Any, Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import CURSOR, LIMIT, SEARCH, query
from agentflow_api.http.document.shapes import (
    ID,
    TIME,
    Shape,
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
from agentflow_api.keys.shapes import CREATED, KEY, LIMITS, NEW_KEY, ROTATED, ROTATION, SECRET
from agentflow_api.tenants.schemas import NewTenantBody, TenantChanges

_FIELDS: Final = {
    "tenant_id": ID,
    "slug": text("acme"),
    "name": text("Acme"),
    "state": one_of("active", "suspended", "offboarding"),
    "plan": text("standard"),
    "limits": LIMITS,
    "own_limits": LIMITS,
    "retention_days": maybe(whole(90, 1)),
    "keep_checkpoints": maybe(whole(50, 1)),
    "placement": whole(0),
    "moving_to": maybe(whole(1000), None),
    "epoch": whole(1),
    "agents": maybe(listed(text("assistant")), None),
    "default_agent": text("assistant"),
    "created_at": maybe(TIME),
    "updated_at": maybe(TIME),
}
_TENANT: Final = record("Tenant", _FIELDS)
_KEPT: Final = plain({"threads": whole(3), "stored_bytes": whole(4096)})
_USED: Final = plain(
    dict.fromkeys(("runs", "checkpoints", "tokens_in", "tokens_out"), whole(12))
    | dict.fromkeys(("stored_bytes", "threads"), whole(3, None))
)
_LISTED_TENANT: Final = record(
    "ListedTenant", {**_FIELDS, "usage": plain({"kept": _KEPT, "last_30_days": _USED})}, "usage"
)
_NEW_TENANT: Final = record("NewTenant", {**_FIELDS, "api_key": SECRET, "key": KEY})
_STATE: Final = query("state", one_of("active", "suspended", "offboarding"), "Only tenants in this state.")
_PLAN: Final = query("plan", text("standard"), "Only tenants of this plan.")
_PLACEMENT: Final = query("placement", whole(0, 0, maximum=2**31 - 1), "Only tenants that live there.")
_INCLUDE: Final = query("include", one_of("usage"), "`usage`: also what each keeps, and used within 30 days.")
_ALL: Final = "/v1/admin/tenants"
_ONE: Final = f"{_ALL}/{{named}}"


def _tenant(answer: Shape, **more: Any) -> Described:
    return Described("operator: tenants", answer, **more)


def _key(name: str, answer: Shape, **more: Any) -> Described:
    return Described("operator: keys", answer, operation_id=name, **more)


OPERATIONS: Final[Operations] = {
    f"GET {_ALL}": _tenant(
        page("tenants", _LISTED_TENANT),
        parameters=(LIMIT, CURSOR, SEARCH, _STATE, _PLAN, _PLACEMENT, _INCLUDE),
    ),
    f"POST {_ALL}": _tenant(
        _NEW_TENANT,
        status=201,
        body=of_model(NewTenantBody, {"slug": "acme", "name": "Acme", "plan": "standard"}),
        errors=(409,),
        repeatable=True,
    ),
    f"GET {_ONE}": _tenant(_TENANT),
    f"PATCH {_ONE}": _tenant(_TENANT, body=of_model(TenantChanges, {"plan": "free", "retention_days": 30})),
    f"POST {_ONE}/suspend": _tenant(_TENANT, errors=(409,), repeatable=True),
    f"POST {_ONE}/resume": _tenant(_TENANT, errors=(409,), repeatable=True),
    f"GET {_ONE}/keys": _key("list_keys_of_tenant", page("keys", KEY), parameters=(LIMIT, CURSOR)),
    f"POST {_ONE}/keys": _key(
        "create_key_of_tenant", CREATED, status=201, body=NEW_KEY, needs_body=False, repeatable=True
    ),
    f"GET {_ONE}/keys/{{key_id}}": _key("get_key_of_tenant", KEY),
    f"DELETE {_ONE}/keys/{{key_id}}": _key("revoke_key_of_tenant", KEY),
    f"POST {_ONE}/keys/{{key_id}}/rotate": _key(
        "rotate_key_of_tenant",
        ROTATED,
        status=201,
        body=ROTATION,
        needs_body=False,
        errors=(409,),
        repeatable=True,
    ),
}
