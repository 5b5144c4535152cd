"""One effect and one answer for an idempotency key, over retries, races and crashes."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import StoreUnavailableError, TenantGoneError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_hosting.queries import QUERIES

logger = logging.getLogger("agentflow.api")

KEPT_S: Final = 24 * 3600
# Whose the operator's keys are. The schema lets no tenant have this id.
OPERATOR: Final = uuid.UUID(int=0)
_LEASE_S: Final = 6.0
# Who asks the same at the same time waits for the first one's answer.
_WAIT_S: Final = 30.0
_LOOK_FIRST_S: Final = 0.02
_LOOK_LATER_S: Final = 0.5


class IdempotencyKeyReusedError(Exception):
    """The key was used for something else."""

    code = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self) -> None:
        super().__init__(
            "This idempotency key was used with another request; use a new one for a new request."
        )


class IdempotencyInProgressError(Exception):
    """The first request with the key is at work still."""

    code = "IDEMPOTENCY_IN_PROGRESS"

    def __init__(self) -> None:
        super().__init__(
            "The first request with this idempotency key is still at work; ask again for its answer."
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered first.

    Attributes:
        effect_id: What the first request was known by: of a run its id.
        body: The text; "" for an answer that is not kept here.
    """

    effect_id: uuid.UUID
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a key.

    Attributes:
        effect_id: Names the effect for good, over all attempts: of a run its id.
        since: When the first attempt began, if this is another one: it may have done something already.
    """

    tenant_id: uuid.UUID
    key: str
    effect_id: uuid.UUID
    attempts: int
    since: datetime | None


class IdempotencyKeys:
    """Keys of tenants and of the operator, in Postgres.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def claim(self, tenant_id: uuid.UUID, key: str, fingerprint: bytes) -> Claim | Answer:
        """The right to work on a key, or the answer that was given under it; waits for one that is coming.

        Args:
            tenant_id: Whose key; `OPERATOR` of who runs the service.
            key: As the client made it.
            fingerprint: Of what is asked.

        Raises:
            IdempotencyKeyReusedError: Something else was asked under it.
            IdempotencyInProgressError: The first one takes long.
            TenantGoneError: The tenant was offboarded since the request was let in.

        One round trip for a new key.
        """
        loop = asyncio.get_running_loop()
        give_up_at, look_after_s = loop.time() + _WAIT_S, _LOOK_FIRST_S
        while True:
            found = await self._claim_once(tenant_id, key, fingerprint)
            if found is not None:
                return found
            if loop.time() > give_up_at:
                raise IdempotencyInProgressError
            await asyncio.sleep(look_after_s)
            look_after_s = min(_LOOK_LATER_S, look_after_s * 2)

    @asynccontextmanager
    async def holding(self, claim: Claim) -> AsyncGenerator[None]:
        """Keep the right for the length of a block."""
        beating = asyncio.create_task(self._beat(claim))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)

    async def answer(self, claim: Claim, status: int, body: str) -> None:
        """Keep the answer, for whoever asks again."""
        await self._do("answer_key", claim, status=status, body=body)

    async def let_go(self, claim: Claim, *, nothing_done: bool) -> None:
        """It did not work out; whoever asks again tries again, where nothing was done with any request."""
        await self._do("let_key_go", claim)
        if nothing_done:
            await self._do("drop_key", claim)

    async def forget(self) -> None:
        """Delete keys that are kept no more. For a login that sees every tenant."""
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(QUERIES["forget_keys"], {"kept_s": KEPT_S})

    async def _claim_once(self, tenant_id: uuid.UUID, key: str, fingerprint: bytes) -> Claim | Answer | None:
        values = {
            "tenant_id": tenant_id,
            "key": key,
            "fingerprint": fingerprint,
            "effect_id": uuid.uuid4(),
            "lease_s": _LEASE_S,
            "kept_s": KEPT_S,
        }
        rows = await self._rows("claim_key", tenant_id, values)
        if rows:
            row = rows[0]
            since = row["created_at"] if row["attempts"] > 1 else None
            return Claim(tenant_id, key, _uuid(row["effect_id"]), row["attempts"], since)
        rows = await self._rows("get_key", tenant_id, {"tenant_id": tenant_id, "key": key})
        if not rows:
            there = await self._rows("has_tenant", tenant_id, {"tenant_id": tenant_id})
            if tenant_id != OPERATOR and not there:
                raise TenantGoneError("This tenant was offboarded: nothing of it is there any more.")
            return None
        if bytes(rows[0]["fingerprint"]) != fingerprint:
            raise IdempotencyKeyReusedError
        if rows[0]["status"] is None:
            return None
        return Answer(_uuid(rows[0]["effect_id"]), rows[0]["status"], rows[0]["body"])

    async def _beat(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(_LEASE_S / 3)
            with suppress(StoreUnavailableError):
                await self._do("hold_key", claim, lease_s=_LEASE_S)

    async def _do(self, name: str, claim: Claim, **more: Any) -> None:
        values = {
            "tenant_id": claim.tenant_id,
            "key": claim.key,
            "effect_id": claim.effect_id,
            "attempts": claim.attempts,
            **more,
        }
        if name == "drop_key":
            del values["attempts"]
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(QUERIES["show_tenant"], {"shown": f"{{{claim.tenant_id}}}"})
                await connection.execute(QUERIES[name], values)

    async def _rows(self, name: str, tenant_id: uuid.UUID, values: dict[str, Any]) -> Sequence[RowMapping]:
        with translated():
            async with self._engine.begin() as connection:
                await connection.execute(QUERIES["show_tenant"], {"shown": f"{{{tenant_id}}}"})
                return (await connection.execute(QUERIES[name], values)).mappings().all()


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(bytes=value.bytes)
