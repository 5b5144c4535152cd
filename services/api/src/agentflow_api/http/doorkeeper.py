"""The first to see a request: who was refused a moment ago is refused again, at next to no cost."""

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from agentflow_api.http.envelope import failure
from agentflow_api.http.quota_answers import details_of
from agentflow_api.http.rate_limit_fields import rate_limit_fields
from agentflow_api.http.request_ids import begin_request
from agentflow_api.http.whose import note_principal
from agentflow_tenancy import Principal, QuotaExceededError
from agentflow_tenancy.quota_spans import note_refusal
from agentflow_tenancy.quotas import OF_A_REQUEST

DECISION: Final = "quota_decision"
REFUSAL: Final = "quota_refusal"

# Together with what is remembered of a key (0.8 s) the second within which a changed limit takes effect.
_LONGEST_S: Final = 0.15
_MOST: Final = 10_000
_PUBLIC: Final = ("/ping", "/health")
_REFUSED: Final = 429


class _Refused(NamedTuple):
    until: float
    error: QuotaExceededError
    principal: Principal | None

    async def answer(self, send: Send) -> None:
        if self.principal is not None:
            note_principal(self.principal)
            note_refusal(self.principal.tenant, self.error.decision.quota or "")
        await _refuse(self.error, send)


class Doorkeeper:
    """Writes the quotas' header fields, and turns credentials away while nothing can let them in.

    A rate that is used up has room again at a known moment, and not before: until then there is no need to
    ask Redis, to route or to read the request.
    """

    def __init__(self, app: ASGIApp, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self._refused: OrderedDict[bytes, _Refused] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] in (ScopeType.HTTP, ScopeType.WEBSOCKET):
            begin_request(scope["headers"])
        if scope["type"] != ScopeType.HTTP or scope["path"].startswith(_PUBLIC):
            await self._app(scope, receive, send)
            return
        credential = _digest(scope) if scope["method"] != "OPTIONS" else b""
        refused = self._refused.get(credential)
        if refused is not None:
            if self._clock() < refused.until:
                await refused.answer(send)
                return
            del self._refused[credential]
        state: dict[str, Any] = scope.setdefault("state", {})

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start" and (decision := state.get(DECISION)) is not None:
                headers = [*message["headers"]]
                # A refusal has those that say why.
                given = {name for name, _ in headers} if message["status"] == _REFUSED else ()
                for name, value in rate_limit_fields(decision).items():
                    if (encoded := name.lower().encode()) not in given:
                        headers.append((encoded, value.encode()))
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, send_with_fields)
        refusal = state.get(REFUSAL)
        # Who came without one is known by something else, such as a session: nothing is remembered of nobody.
        if credential and isinstance(refusal, QuotaExceededError) and refusal.decision.quota in OF_A_REQUEST:
            self._remember(credential, refusal, state.get("principal"))

    def _remember(self, credential: bytes, refusal: QuotaExceededError, principal: Principal | None) -> None:
        until = self._clock() + min(refusal.retry_after_s, _LONGEST_S)
        self._refused[credential] = _Refused(until, refusal, principal)
        if len(self._refused) > _MOST:
            self._refused.popitem(last=False)


def _digest(scope: Scope) -> bytes:
    """Of the credential, so that none is kept."""
    given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
    return blake2b(b"\0".join(given), digest_size=16).digest() if given else b""


async def _refuse(refusal: QuotaExceededError, send: Send) -> None:
    fields = rate_limit_fields(refusal.decision)
    await failure(_REFUSED, refusal.code, str(refusal), details_of(refusal), fields).send(send)
