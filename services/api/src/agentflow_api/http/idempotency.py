"""The header field `Idempotency-Key`: one effect and one answer, however often a request is sent."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from litestar import Request, Response
from litestar.enums import MediaType

from agentflow.errors import StoreUnavailableError, TokenBudgetExceededError
from agentflow_api.http import parameters
from agentflow_api.http.agent_prefix import AGENT_KEY
from agentflow_api.http.errors import answer_error
from agentflow_api.http.fields import field
from agentflow_api.http.request_ids import request_id
from agentflow_api.wiring import Wiring
from agentflow_hosting.idempotency import OPERATOR, Answer, Claim
from agentflow_tenancy import Principal

REPLAYED: Final = "idempotent-replayed"
_HEADER: Final = "idempotency-key"
_LONGEST: Final = 255
# Stands for a secret in what is kept. No JSON text holds it: encoders escape it.
_HIDDEN: Final = "\x01"

type Secret = Callable[[uuid.UUID], str]

# Refused before anything was done: the key stays free. Any other failure may have left something behind, as
# has a run that used its budget up.
_NOTHING_DONE: Final = (400, 401, 403, 404, 413, 415, 422, 429)
# Answers for good; others are worth another try, which goes on where this one stood.
_FOR_GOOD: Final = (500,)


@dataclass(slots=True)
class Effect:
    """What a request is about to do.

    Attributes:
        effect_id: Its name for good: of a run its id.
        since: When it was first tried, if this is another try: it may be done already.
        is_done: It was answered: what it left is to be found again, and never made anew.
        is_made: Set by the work once there is something: from then on no refusal frees the key.
    """

    effect_id: uuid.UUID
    since: datetime | None = None
    is_done: bool = False
    is_made: bool = False


async def once(
    request: Request[Any, Any, Any],
    principal: Principal | None,
    wiring: Wiring,
    body: Any,
    work: Callable[[Effect], Awaitable[Response[bytes]]],
    *,
    secret: Secret | None = None,
) -> Response[bytes]:
    """Do the work, or answer what was answered when it was done.

    Args:
        request: Whose header field names the key; without one the work is simply done.
        principal: Whose key; None of the operator.
        wiring: The process's parts.
        body: The request's, as data: with another one the key is refused.
        work: Does it, under the name it is given.
        secret: Makes the secret that an answer shows, from the effect's name: it is not kept with the answer.

    Raises:
        IdempotencyKeyReusedError, IdempotencyInProgressError: See `IdempotencyKeys.claim`.
        What `work` raises.

    Two transactions more than without a key.
    """
    key = given_key(request)
    if key is None:
        return await work(Effect(uuid.uuid4()))
    whose = OPERATOR if principal is None else principal.tenant.tenant_id
    found = await wiring.idempotency.claim(whose, key, _fingerprint(request, principal, body))
    hidden = None if secret is None else secret(found.effect_id)
    if isinstance(found, Answer):
        return _again(found, hidden)
    async with wiring.idempotency.holding(found):
        return await _worked(request, wiring, found, work, hidden)


async def once_found[T](
    request: Request[Any, Any, Any],
    principal: Principal,
    wiring: Wiring,
    body: Any,
    work: Callable[[Effect], Awaitable[T]],
) -> T:
    """As `once`, for an answer that `work` finds again by the name of its effect."""
    key = given_key(request)
    if key is None:
        return await work(Effect(uuid.uuid4()))
    found = await wiring.idempotency.claim(
        principal.tenant.tenant_id, key, _fingerprint(request, principal, body)
    )
    if isinstance(found, Answer):
        return await work(Effect(found.effect_id, is_done=True))
    try:
        done = await work(Effect(found.effect_id, found.since))
    except BaseException as error:  # also when cancelled: the key must not stay held
        status = answer_error(request, error).status_code if isinstance(error, Exception) else 503
        await asyncio.shield(wiring.idempotency.let_go(found, nothing_done=_is_nothing_done(error, status)))
        raise
    await wiring.idempotency.answer(found, 200, "")
    return done


async def _worked(
    request: Request[Any, Any, Any],
    wiring: Wiring,
    claim: Claim,
    work: Callable[[Effect], Awaitable[Response[bytes]]],
    hidden: str | None,
) -> Response[bytes]:
    effect = Effect(claim.effect_id, claim.since)
    try:
        answer = await work(effect)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is answered, and kept as what was answered
        answer = answer_error(request, error)
        if answer.status_code not in _FOR_GOOD:
            nothing_done = not effect.is_made and _is_nothing_done(error, answer.status_code)
            await wiring.idempotency.let_go(claim, nothing_done=nothing_done)
            return answer
    except BaseException:  # cancelled: the next one goes on
        await asyncio.shield(wiring.idempotency.let_go(claim, nothing_done=False))
        raise
    try:
        text = bytes(answer.content).decode()
        kept = text if hidden is None else text.replace(hidden, _HIDDEN)
        await wiring.idempotency.answer(claim, answer.status_code or 200, kept)
    except StoreUnavailableError:
        # Done, but who asks again would not know: better to have it asked again, and told then.
        await asyncio.shield(wiring.idempotency.let_go(claim, nothing_done=False))
        raise
    return answer


def _is_nothing_done(error: BaseException, status: int | None) -> bool:
    return status in _NOTHING_DONE and not isinstance(error, TokenBudgetExceededError)


def given_key(request: Request[Any, Any, Any]) -> str | None:
    """The request's key, if it has one.

    Raises:
        InvalidParameterError: It is none.
    """
    key = field(request.scope, _HEADER.encode())
    if key is None:
        return None
    if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable()):
        raise parameters.invalid(_HEADER, f"has 1 to {_LONGEST} printable ASCII characters")
    return key


def _fingerprint(request: Request[Any, Any, Any], principal: Principal | None, body: Any) -> bytes:
    asked = [
        request.method,
        request.scope["path"],
        request.scope.get(AGENT_KEY),
        sorted(request.query_params.multi_items()),
        None if principal is None else principal.user_id,
        body,
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).digest()


def _again(answer: Answer, hidden: str | None) -> Response[bytes]:
    text = answer.body if hidden is None else answer.body.replace(_HIDDEN, hidden)
    return Response(
        text.encode(),
        status_code=answer.status,
        media_type=MediaType.JSON,
        headers={"x-request-id": request_id(), REPLAYED: "true"},
    )
