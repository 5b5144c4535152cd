"""`/v1/tokens`, `/.well-known/jwks.json`, `/v1/issuers`, and new signing keys for the operator."""

import json
from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router
from litestar.enums import MediaType

from agentflow_api.http.actors import actor_of_key, actor_operator
from agentflow_api.http.body import read_json, validated
from agentflow_api.http.credentials import require_operator
from agentflow_api.http.envelope import success
from agentflow_api.http.idempotency import Effect, once
from agentflow_api.http.problems import InvalidBodyError, NotThereError
from agentflow_api.http.routing import delete, get, post
from agentflow_api.tokens.schemas import NewIssuer, NewToken
from agentflow_api.wiring import Wiring
from agentflow_tenancy import TENANT_ADMIN, ForbiddenError, Principal
from agentflow_tenancy.issuers import Issuer
from agentflow_tenancy.jwk_sets import JwkSetError, jwk_set
from agentflow_tenancy.jwks_fetcher import JwksUriError, check_jwks_uri
from agentflow_tenancy.tenants import USER_SCOPES
from agentflow_tenancy.tokens import ISSUER

_NO_ISSUER = UUID(int=0)
_MAX_JWKS: Final = 64 * 1024


@post("/v1/tokens", status_code=201)
async def mint_token(
    request: Request[Any, Any, Any], principal: Principal, wiring: Wiring
) -> Response[bytes]:
    """A token of five minutes at most, with rights among the key's, for one user if it names one."""
    data = await read_json(request, max_bytes=wiring.settings.max_body_bytes)
    asked = validated(NewToken, {} if data is None else data)
    minted = await wiring.tokens.mint(
        principal, scopes=asked.scopes, user_id=asked.user_id, ttl_s=asked.ttl_s
    )
    view = {"token": minted.token, "expires_at": minted.expires_at, "scopes": list(minted.scopes)}
    return success({**view, "user_id": asked.user_id}, "Created", status_code=201)


@get("/.well-known/jwks.json", media_type=MediaType.JSON)
async def jwks(wiring: Wiring) -> Response[dict[str, Any]]:
    """The public keys of the service's tokens."""
    await wiring.role.require()
    keys = await wiring.signing_keys.jwks()
    return Response(keys, headers={"cache-control": "public, max-age=60", "x-token-issuer": ISSUER})


@post("/v1/admin/signing-keys/rotate", status_code=201, guards=[require_operator])
async def rotate_signing_key(request: Request[Any, Any, Any], wiring: Wiring) -> Response[bytes]:
    """Sign with a new key from now on; tokens of the old one are good until they end."""

    async def work(effect: Effect) -> Response[bytes]:
        kid = await wiring.signing_keys.rotate(actor_operator(request), effect.effect_id.hex)
        return success({"kid": kid}, "Rotated", status_code=201)

    return await once(request, None, wiring, None, work)


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
        if scope not in USER_SCOPES:
            raise ForbiddenError(f"An issuer's users cannot have the scope {scope!r}.")
    _check_keys(asked, allow_http=wiring.settings.allow_http_issuers)
    new = Issuer(
        issuer_id=_NO_ISSUER,
        issuer=asked.issuer,
        audience=asked.audience,
        jwks_uri=asked.jwks_uri,
        jwks=asked.jwks,
        algorithms=tuple(asked.algorithms),
        scopes=tuple(asked.scopes),
        user_claim=asked.user_claim,
        scope_claim=asked.scope_claim,
        limits=principal.limits,
    )

    async def work(_: Effect) -> Response[bytes]:
        made = await wiring.issuers.create(principal.tenant, new, actor=actor_of_key(request, principal))
        return success(_view(made), "Created", status_code=201)

    return await once(request, principal, wiring, data, work)


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


def _check_keys(asked: NewIssuer, *, allow_http: bool) -> None:
    """Whether keys could be had so; an address is not asked yet."""
    try:
        if asked.jwks_uri is not None:
            check_jwks_uri(asked.jwks_uri, allow_http=allow_http)
        elif len(json.dumps(asked.jwks)) > _MAX_JWKS:
            raise JwkSetError(f"it has more than {_MAX_JWKS} characters")
        else:
            jwk_set(asked.jwks)
    except JwksUriError as error:
        raise InvalidBodyError(f"jwks_uri cannot be used: {error}.") from error
    except JwkSetError as error:
        raise InvalidBodyError(f"jwks cannot be used: {error}.") from error


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
        "scope_claim": issuer.scope_claim,
    }


tokens_router = Router(
    "/",
    route_handlers=[mint_token, jwks, rotate_signing_key, create_issuer, list_issuers, delete_issuer],
)
