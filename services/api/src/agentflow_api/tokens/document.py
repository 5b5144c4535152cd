"""What the document says of tokens and issuers."""

from typing import Any, Final

from agentflow_api.http.document.described import Described, Operations
from agentflow_api.http.document.failures import header
from agentflow_api.http.document.shapes import (
    DATA,
    ID,
    Shape,
    listed,
    maybe,
    of_model,
    one_of,
    plain,
    record,
    text,
    whole,
)
from agentflow_api.keys.shapes import SCOPES
from agentflow_api.tokens.schemas import NewIssuer, NewToken

_TOKEN: Final = plain(
    {
        "token": text("eyJhbGciOiJFUzI1NiJ9..."),
        "expires_at": whole(1772366700),
        "scopes": SCOPES,
        "user_id": maybe(text("u-17")),
    }
)
_ISSUER: Final = record(
    "Issuer",
    {
        "issuer_id": ID,
        "issuer": text("https://login.example.com"),
        "audience": text("agentflow"),
        "jwks_uri": maybe(text("https://login.example.com/jwks.json")),
        "jwks": maybe(DATA, None),
        "algorithms": listed(one_of("ES256", "RS256", "PS256", "EdDSA")),
        "scopes": SCOPES,
        "user_claim": text("sub"),
        "scope_claim": maybe(text("scope"), None),
    },
)
_NEW_ISSUER: Final = of_model(
    NewIssuer,
    {
        "issuer": "https://login.example.com",
        "audience": "agentflow",
        "jwks_uri": "https://login.example.com/jwks.json",
        "scopes": ["threads:read", "graph:invoke"],
    },
)
_JWKS: Final = plain({"keys": listed(DATA.but({"kty": "EC", "crv": "P-256", "kid": "2026-03"}))})


def _token(answer: Shape, **more: Any) -> Described:
    return Described("tokens", answer, **more)


OPERATIONS: Final[Operations] = {
    "POST /v1/tokens": _token(
        _TOKEN,
        status=201,
        body=of_model(NewToken, {"scopes": ["threads:read"], "user_id": "u-17", "ttl_s": 300}),
        needs_body=False,
    ),
    "GET /.well-known/jwks.json": _token(
        _JWKS, enveloped=False, errors=(503,), headers={"x-token-issuer": header("Who signs the tokens.")}
    ),
    "GET /v1/issuers": _token(plain({"issuers": listed(_ISSUER)})),
    "POST /v1/issuers": _token(_ISSUER, status=201, body=_NEW_ISSUER, errors=(409,), repeatable=True),
    "DELETE /v1/issuers/{issuer_id}": _token(plain({"issuer_id": text("0198f3c2")})),
    "POST /v1/admin/signing-keys/rotate": Described(
        "operator: keys", plain({"kid": text("2026-03")}), status=201, repeatable=True
    ),
}
