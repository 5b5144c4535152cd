"""`/v1/tokens`, `/.well-known/jwks.json`, `/v1/issuers`, and new signing keys for the operator."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, Router, delete, get, post
from litestar.enums import MediaType

from agentflow_api.http.actors import actor_of_key, actor_operator
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.envelope import success
from agentflow_api.http.problems import InvalidBodyError, NotThereError
from agentflow_api.tokens.schemas import NewIssuer, NewToken
from agentflow_api.wiring import Wiring
from agentflow_tenancy import TENANT_ADMIN, ForbiddenError, Principal
from agentflow_tenancy.issuers import Issuer, usable_keys
from agentflow_tenancy.tokens import ISSUER

_NO_ISSUER = UUID(int=0)


@post("/v1/tokens", status_code=201)
async def mint_token(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A token of five minutes at most, with rights among the key's, for one user if it names one."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(NewToken, data or {})
    minted = await wiring.tokens.mint(
        principal, scopes=asked.scopes, user_id=asked.user_id, ttl_s=asked.ttl_s
    )
    view = {"token": minted.token, "expires_at": minted.expires_at, "scopes": list(minted.scopes)}
    return success({**view, "user_id": asked.user_id}, "Created", status_code=201)


@get("/.well-known/jwks.json", media_type=MediaType.JSON)
async def jwks(wiring: Wiring) -> Response[dict[str, Any]]:
    """The public keys of the service's tokens."""
    keys = await wiring.signing_keys.jwks()
    return Response(keys, headers={"cache-control": "public, max-age=60", "x-token-issuer": ISSUER})


@post("/v1/admin/signing-keys/rotate", status_code=201, guards=[require_operator])
async def rotate_signing_key(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Sign with a new key from now on; tokens of the old one are good until they end."""
    kid = await wiring.signing_keys.rotate(actor_operator(request))
    return success({"kid": kid}, "Rotated", status_code=201)


@post("/v1/issuers", status_code=201)
async def create_issuer(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Trust an issuer's tokens for users of this tenant."""
    principal.require(TENANT_ADMIN)
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(NewIssuer, data)
    if asked.issuer == ISSUER:
        raise InvalidBodyError("This is the service's own issuer.")
    for scope in asked.scopes:
        if scope not in principal.scopes:
            raise ForbiddenError(f"This key lacks the scope {scope!r}, so it cannot give it.")
    if asked.jwks is not None and not usable_keys(asked.jwks):
        raise InvalidBodyError("jwks holds no public key that can check signatures.")
    if asked.jwks_uri is not None and not asked.jwks_uri.startswith(_schemes(wiring)):
        raise InvalidBodyError("jwks_uri must begin with https://.")
    new = Issuer(
        issuer_id=_NO_ISSUER,
        issuer=asked.issuer,
        audience=asked.audience,
        jwks_uri=asked.jwks_uri,
        jwks=asked.jwks,
        algorithms=tuple(asked.algorithms),
        scopes=tuple(asked.scopes),
        user_claim=asked.user_claim,
    )
    made = await wiring.issuers.create(principal.tenant, new, actor=actor_of_key(request, principal))
    return success(_view(made), "Created", status_code=201)


@get("/v1/issuers")
async def list_issuers(principal: Principal, wiring: Wiring) -> Response[bytes]:
    """The issuers that this tenant trusts."""
    principal.require(TENANT_ADMIN)
    found = await wiring.issuers.list_of(principal.tenant.tenant_id)
    return success({"issuers": [_view(issuer) for issuer in found]})


@delete("/v1/issuers/{issuer_id:str}", status_code=200)
async def delete_issuer(
    request: Request[Any, Any, Any], issuer_id: str, principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """Trust an issuer no more, on every replica within a second."""
    principal.require(TENANT_ADMIN)
    actor = actor_of_key(request, principal)
    try:
        wanted = UUID(issuer_id)
    except ValueError:
        wanted = _NO_ISSUER
    if not await wiring.issuers.delete(principal.tenant.tenant_id, wanted, actor=actor):
        raise NotThereError("There is no such issuer.")
    return success({"issuer_id": issuer_id}, "Deleted")


def _schemes(wiring: Wiring) -> tuple[str, ...]:
    return ("https://", "http://") if wiring.settings.allow_http_issuers else ("https://",)


def _view(issuer: Issuer) -> dict[str, Any]:
    return {
        "issuer_id": str(issuer.issuer_id),
        "issuer": issuer.issuer,
        "audience": issuer.audience,
        "jwks_uri": issuer.jwks_uri,
        "jwks": issuer.jwks,
        "algorithms": list(issuer.algorithms),
        "scopes": list(issuer.scopes),
        "user_claim": issuer.user_claim,
    }


tokens_router = Router(
    "/",
    route_handlers=[mint_token, jwks, rotate_signing_key, create_issuer, list_issuers, delete_issuer],
)
