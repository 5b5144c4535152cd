"""Who a request acts as."""

import hmac
from typing import Any

from litestar import Request

from agentflow_api.http.problems import BadRequestError
from agentflow_api.wiring import Wiring
from agentflow_tenancy import CredentialError, ForbiddenError, Principal

_OTHER_PLACES = ("x-api-key", "api-key")


async def provide_principal(request: Request[Any, Any, Any], wiring: Wiring) -> Principal:
    """The principal of the request's one credential: `Authorization: Bearer <API key>`.

    Nothing else in a request, body, query or header, can name a tenant.

    Raises:
        BadRequestError: Two credentials.
        CredentialError: None, or one that is not valid.
    """
    given = [value for name, value in request.scope["headers"] if name.lower() == b"authorization"]
    others = [name for name in _OTHER_PLACES if name in request.headers]
    others += [name for name in ("token", "api_key") if name in request.query_params]
    if len(given) + len(others) > 1:
        raise BadRequestError("Send one credential: a single Authorization header and nothing beside it.")
    if not given:
        raise CredentialError("Send your API key as 'Authorization: Bearer <key>'.")
    scheme, _, key = given[0].decode("latin-1").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise CredentialError("Send your API key as 'Authorization: Bearer <key>'.")
    await wiring.role.require()
    principal = await wiring.authenticator.authenticate(key.strip())
    request.scope["state"]["principal"] = principal
    return principal


async def provide_operator(request: Request[Any, Any, Any], wiring: Wiring) -> str:
    """Who runs the service, by its token.

    Raises:
        CredentialError: None, or another one.
        ForbiddenError: This deployment has no operator's token.
    """
    token = wiring.settings.operator_token
    if token is None:
        raise ForbiddenError("Set AGENTFLOW_OPERATOR_TOKEN to use the operator's routes.")
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), b"Bearer " + token.encode()):
        raise CredentialError("Send the operator's token as 'Authorization: Bearer <token>'.")
    return "operator"
