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
    query as `token`: in one of them.

    Raises:
        PermissionDeniedException: None of them, several, or one that is not let in: the handshake is refused.
    """
    protocols: list[str] = socket.scope.get("subprotocols") or []
    header = socket.headers.get("authorization")
    query = socket.query_params.get("token")
    by_subprotocol = protocols[1] if protocols[:1] == [SUBPROTOCOL] and len(protocols) == 2 else None
    given = [token for token in (_bearer(header), by_subprotocol, query) if token]
    if len(given) != 1:
        raise PermissionDeniedException("Send one credential.")
    try:
        await wiring.role.require()
        if is_token(given[0]):
            principal = await wiring.tokens.authenticate(given[0])
        else:
            principal = await wiring.authenticator.authenticate(given[0])
    except (CredentialError, TenantSuspendedError, StoreUnavailableError) as error:
        raise PermissionDeniedException("This credential is not let in.") from error
    if principal.issued_by is None:
        wiring.key_uses.note(principal.key_id)
    return principal, by_subprotocol is not None


def _bearer(header: str | None) -> str | None:
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
