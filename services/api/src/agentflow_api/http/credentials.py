"""Who a request acts as."""

import hashlib
import hmac
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from agentflow.storage.checkpointer.storage_spans import owner_attributes
from agentflow.utils import span_names as names
from agentflow_api.http.agent_prefix import AGENT_KEY
from agentflow_api.http.problems import BadRequestError
from agentflow_api.http.sessions import Session, session_of
from agentflow_api.http.whose import note_agent, note_principal
from agentflow_api.wiring import Wiring
from agentflow_tenancy import CredentialError, ForbiddenError, Principal, Tenant
from agentflow_tenancy.keys import API_KEY_PREFIX
from agentflow_tenancy.token_reading import is_token

_OPERATORS = "This is the operator's token; a tenant's routes take a tenant's API key."
_TENANTS = "This route is the operator's; a tenant's credential does not open it."
_OTHER_PLACES = (b"x-api-key", b"api-key")


async def provide_principal(request: Request[Any, Any, Any], wiring: Wiring) -> Principal:
    """The principal of the request's one credential: `Authorization: Bearer <API key or token>`.

    Nothing else in a request, body, query or header, can name a tenant.

    Raises:
        BadRequestError: Two credentials.
        CredentialError: None, or one that is not valid.
        TenantLeavingError: Its tenant is being offboarded, or is gone.
        UnknownAgentError: The path names an agent that there is not, or not for this tenant.
    """
    return await _principal(request, wiring, may_leave=False)


async def provide_leaver(request: Request[Any, Any, Any], wiring: Wiring) -> Principal:
    """The same, also while its tenant is being offboarded: for the routes of that, which no quota limits."""
    return await _principal(request, wiring, may_leave=True)


async def _principal(request: Request[Any, Any, Any], wiring: Wiring, *, may_leave: bool) -> Principal:
    session = session_of(request.scope)
    if session is not None:
        principal = await _of_session(session, wiring)
    else:
        principal = await _of_credential(_given(request), wiring, may_leave=may_leave)
    if principal.issued_by is None:
        wiring.key_uses.note(principal.key_id)
    request.scope["state"]["principal"] = principal
    note_principal(principal)
    _tell_tenant(principal.tenant, wiring)
    _check_agent(request, wiring, principal.tenant.agents)
    return principal


async def _of_credential(key: str, wiring: Wiring, *, may_leave: bool) -> Principal:
    if is_operators(key, wiring):
        raise ForbiddenError(_OPERATORS)
    await wiring.role.require()
    if is_token(key):
        return await wiring.tokens.authenticate(key)
    return await wiring.authenticator.authenticate(key, may_leave=may_leave)


async def _of_session(session: Session, wiring: Wiring) -> Principal:
    if session.key_id is None:
        raise ForbiddenError(_OPERATORS)
    await wiring.role.require()
    return await wiring.authenticator.principal_of(session.key_id)


async def provide_operator(request: Request[Any, Any, Any], wiring: Wiring) -> str:
    """Who runs the service, by its token; see `require_operator`."""
    await _check_operator(request, wiring)
    return "operator"


async def require_operator(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard: only who runs the service, by its token.

    Raises:
        CredentialError: None, or another one.
        ForbiddenError: A tenant's, or this deployment has no operator's token.
    """
    await _check_operator(connection, connection.app.state["wiring"])


async def require_operators_token(
    connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
) -> None:
    """The same for what shows no rows: it asks nothing of Postgres, which may be away."""
    _check_token(connection, connection.app.state["wiring"])


async def _check_operator(connection: ASGIConnection[Any, Any, Any, Any], wiring: Wiring) -> None:
    _check_token(connection, wiring)
    await wiring.role.require()
    _check_agent(connection, wiring, None)


def _check_token(connection: ASGIConnection[Any, Any, Any, Any], wiring: Wiring) -> None:
    token = wiring.settings.operator_token
    if token is None:
        raise ForbiddenError("Set AGENTFLOW_OPERATOR_TOKEN to use the operator's routes.")
    session = session_of(connection.scope)
    if session is not None:
        if session.key_id is not None:
            raise ForbiddenError(_TENANTS)
        if not session.proves(wiring.seal.fingerprint(token)):
            raise CredentialError("Sign in again: the operator's token is another one now.")
        return
    given = _given(connection)
    if not is_operators(given, wiring):
        if given.startswith(API_KEY_PREFIX) or is_token(given):
            raise ForbiddenError(_TENANTS)
        raise CredentialError("Send the operator's token as 'Authorization: Bearer <token>'.")


def _tell_tenant(tenant: Tenant, wiring: Wiring) -> None:
    """Who it is, for metrics that name it."""
    if wiring.metrics is not None:
        owner = owner_attributes(tenant.tenant_id, tenant.placement)
        wiring.metrics.facts.know(owner[names.TENANT], tenant.slug, tenant.plan, owner[names.PLACEMENT])


def _check_agent(
    connection: ASGIConnection[Any, Any, Any, Any], wiring: Wiring, allowed: tuple[str, ...] | None
) -> None:
    """Also where a route needs no agent: an address that is mistyped must not half work."""
    named = connection.scope.get(AGENT_KEY)
    if named is not None:
        wiring.agents.find(str(named), allowed)
        note_agent(str(named))


def is_operators(given: str, wiring: Wiring) -> bool:
    """Whether it is the operator's token."""
    token = wiring.settings.operator_token
    return token is not None and hmac.compare_digest(_digest(given), _digest(token))


def _digest(secret: str) -> bytes:
    """Of one length, so that comparing takes as long whatever was guessed."""
    return hashlib.sha256(secret.encode()).digest()


def _given(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The request's one credential.

    Raises:
        BadRequestError: Two credentials.
        CredentialError: None, or one of another kind.
    """
    headers = connection.scope["headers"]
    given = [value for name, value in headers if name == b"authorization"]
    others = [name for name, _ in headers if name in _OTHER_PLACES]
    if connection.scope["query_string"]:
        others += [name.encode() for name in ("token", "api_key") if name in connection.query_params]
    if len(given) + len(others) > 1:
        raise BadRequestError("Send one credential: a single Authorization header and nothing beside it.")
    if not given:
        raise CredentialError("Send your API key as 'Authorization: Bearer <key>'.")
    scheme, _, key = given[0].decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise CredentialError("Send your API key as 'Authorization: Bearer <key>'.")
    return key.strip()
