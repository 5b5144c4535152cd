"""Who a socket acts as: browsers cannot set header fields, so a token may come in two more places."""

from typing import Any, Final

from litestar import WebSocket
from litestar.exceptions import PermissionDeniedException

from agentflow.errors import StoreUnavailableError
from agentflow_api.wiring import Wiring
from agentflow_tenancy import CredentialError, Principal, TenantSuspendedError
from agentflow_tenancy.token_reading import is_token

SUBPROTOCOL: Final = "agentflow-bearer"


async def principal_of(socket: WebSocket[Any, Any, Any], wiring: Wiring) -> tuple[Principal, bool]:
    """The principal of a handshake, and whether its token came as a subprotocol, which must be echoed.

    The token stands in `Authorization: Bearer <token>`, behind the subprotocol `agentflow-bearer`, or in the
    query as `token`; clients outside of browsers send the same one in two of them.

    Raises:
        PermissionDeniedException: None, different ones, or one that is not let in: the handshake is refused.
    """
    protocols: list[str] = socket.scope.get("subprotocols") or []
    # Not by the framework's view of them, which an open socket would keep.
    headers = [
        _bearer(value.decode("latin-1"))
        for name, value in socket.scope["headers"]
        if name == b"authorization"
    ]
    queries = socket.query_params.getall("token", [])
    by_subprotocol = protocols[1] if protocols[:1] == [SUBPROTOCOL] and len(protocols) == 2 else None
    given = {token for token in (*headers, by_subprotocol, *queries) if token}
    if len(given) != 1:
        raise PermissionDeniedException("Send one credential.")
    (token,) = given
    try:
        await wiring.role.require()
        if is_token(token):
            principal = await wiring.tokens.authenticate(token)
        else:
            principal = await wiring.authenticator.authenticate(token)
    except (CredentialError, TenantSuspendedError, StoreUnavailableError) as error:
        raise PermissionDeniedException("This credential is not let in.") from error
    if principal.issued_by is None:
        wiring.key_uses.note(principal.key_id)
    return principal, by_subprotocol is not None


def _bearer(header: str) -> str | None:
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
