"""What the document says of offboardings and receipts."""

from typing import Any, Final

from agentflow_api.audit.document import TENANT
from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.parameters import CURSOR, LIMIT, query
from agentflow_api.http.document.shapes import (
    DATA,
    ID,
    NO,
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
from agentflow_api.offboarding.routes import STATES
from agentflow_api.offboarding.schemas import ForgettingBody, OffboardingBody, OwnOffboardingBody

_COUNTS: Final = Shape(
    {"type": "object", "additionalProperties": {"type": "integer"}}, {"agentflow_threads": 40}
)
_OWN: Final = {
    "offboarding_id": ID,
    "tenant_id": ID,
    "kind": one_of("tenant", "user"),
    "state": one_of(*STATES),
    "step": one_of("fence", "leaves", "threads", "tables", "elsewhere", "end"),
    "dry_run": NO,
    "export": NO,
    "grace_s": whole(604_800),
    "grace_until": maybe(TIME, None),
    "progress": plain({"threads_purged": whole(10), "threads_total": maybe(whole(40))}),
    "counts": _COUNTS,
    "requested_by": text("operator"),
    "receipt_id": maybe(ID, None),
    "created_at": maybe(TIME),
    "fenced_at": maybe(TIME, None),
    "finished_at": maybe(TIME, None),
}
_INSIDE: Final = {
    "placements": listed(whole(3)),
    "attempts": whole(1),
    "error": maybe(
        text("It waits for a transaction of 90 s (pid 4711) to end; others are not held up."), None
    ),
}
_OFFBOARDING: Final = record("Offboarding", {**_OWN, **_INSIDE})
_OWN_OFFBOARDING: Final = record("OwnOffboarding", _OWN)
_RECEIPT: Final = record(
    "Receipt",
    {
        "receipt": DATA.but({"format": "agentflow-receipt", "version": 1, "sequence": 7}),
        "jws": text("eyJhbGciOiJFUzI1NiJ9..."),
    },
)
_JWKS: Final = plain({"keys": listed(DATA.but({"kty": "EC", "crv": "P-256", "kid": "2026-03"}))})
_STATE: Final = query("state", one_of(*STATES), "Only offboardings in this state.")
_FORGET: Final = of_model(ForgettingBody, {"user_id": "u-17"})
_TENANT: Final = "/v1/admin/tenants/{named}"
_ALL: Final = "/v1/admin/offboardings"
_ONE: Final = f"{_ALL}/{{offboarding_id}}"
_OF_TENANT: Final = "/v1/tenant"


def _operator(answer: Shape, **more: Any) -> Described:
    return Described("operator: offboarding", answer, **more)


def _own(answer: Shape, **more: Any) -> Described:
    return Described("offboarding", answer, **more)


OPERATIONS: Final[Operations] = {
    f"POST {_TENANT}/offboarding": _operator(
        plain({"offboarding": _OFFBOARDING}),
        status=202,
        body=of_model(OffboardingBody, {"grace_s": 604_800}),
        needs_body=False,
        errors=(409,),
        repeatable=True,
    ),
    f"POST {_TENANT}/forgotten-users": _operator(
        plain({"offboarding": _OFFBOARDING}), status=202, body=_FORGET, errors=(409,), repeatable=True
    ),
    f"GET {_ALL}": _operator(
        page("offboardings", _OFFBOARDING), parameters=(LIMIT, CURSOR, TENANT, _STATE), errors=(404,)
    ),
    f"GET {_ONE}": _operator(_OFFBOARDING),
    f"POST {_ONE}/cancel": _operator(_OFFBOARDING, status=202, errors=(409,), repeatable=True),
    f"POST {_ONE}/skip-grace": _operator(_OFFBOARDING, status=202, errors=(409,), repeatable=True),
    "GET /v1/admin/receipts": _operator(page("receipts", _RECEIPT), parameters=(LIMIT, CURSOR)),
    "GET /v1/admin/receipts/{receipt_id}": _operator(_RECEIPT),
    f"POST {_OF_TENANT}/offboarding": _own(
        plain({"offboarding": _OWN_OFFBOARDING}),
        status=202,
        body=of_model(OwnOffboardingBody, {"confirm": "acme", "grace_s": 604_800}),
        errors=(409,),
        repeatable=True,
    ),
    f"GET {_OF_TENANT}/offboarding": _own(plain({"offboarding": maybe(_OWN_OFFBOARDING)})),
    f"POST {_OF_TENANT}/offboarding/cancel": _own(
        _OWN_OFFBOARDING, status=202, errors=(404, 409), repeatable=True
    ),
    f"POST {_OF_TENANT}/forgotten-users": _own(
        plain({"offboarding": _OWN_OFFBOARDING}), status=202, body=_FORGET, errors=(409,), repeatable=True
    ),
    f"GET {_OF_TENANT}/offboardings/{{offboarding_id}}": _own(_OWN_OFFBOARDING),
    "GET /receipts/{receipt_id}": _own(_RECEIPT, errors=(503,)),
    "GET /.well-known/receipts-jwks.json": _own(_JWKS, enveloped=False, errors=(503,)),
}
