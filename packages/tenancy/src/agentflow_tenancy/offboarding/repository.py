"""Offboardings in the database: what is asked for, and what whoever works on one notes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow_tenancy.control_plane import Actor, ControlPlane, Transaction
from agentflow_tenancy.errors import OffboardingConflictError
from agentflow_tenancy.offboarding.records import (
    Offboarding,
    State,
    Step,
    maybe_offboarding,
    offboarding_of,
    slug_digest,
    user_digest,
)
from agentflow_tenancy.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        user_id: Forget this user of the tenant; None for all of the tenant.
        dry_run: Only count what would go.
        with_export: Keep an archive before anything goes.
        grace_s: For how long it can be taken back before anything goes.
    """

    user_id: str | None = None
    dry_run: bool = False
    with_export: bool = False
    grace_s: int = 0

    @property
    def first_state(self) -> State:
        """Where it begins: a user's tenant is not suspended, nor exported."""
        if self.dry_run:
            return "measuring"
        return "suspended" if self.user_id is None else "grace"


class OffboardingRepository:
    """Reads and writes offboardings. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def request(
        self, tenant: Tenant, asked: Request, *, actor: Actor, offboarding_id: uuid.UUID | None = None
    ) -> Offboarding:
        """Have a tenant offboarded, or a user forgotten. From then on no credential of the tenant is good.

        Args:
            tenant: As it was read.
            asked: What for.
            actor: Who asks.
            offboarding_id: Its id, random and of this request alone; its receipt has it too. Made if not
                given.

        Returns:
            The record; the one that is open already, if there is one.

        Raises:
            OffboardingConflictError: The tenant leaves already, with all of its users; or it is gone.
        """
        new_id = offboarding_id or uuid.uuid4()
        digest = None if asked.user_id is None else user_digest(tenant.tenant_id, asked.user_id)

        async def work(transaction: Transaction) -> Offboarding:
            await transaction.execute("hold_tenant", tenant_id=tenant.tenant_id)
            whole = await transaction.one(
                "open_offboarding", tenant_id=tenant.tenant_id, user_digest=None, is_dry=False
            )
            if whole is not None and asked.user_id is not None:
                raise OffboardingConflictError("This tenant is being offboarded, with all of its users.")
            row = await transaction.one(
                "create_offboarding",
                offboarding_id=new_id,
                tenant_id=tenant.tenant_id,
                kind="tenant" if asked.user_id is None else "user",
                slug_digest=slug_digest(tenant.tenant_id, tenant.slug),
                user_id=asked.user_id,
                user_digest=digest,
                state=asked.first_state,
                with_export=asked.with_export,
                grace_s=asked.grace_s,
                requested_by=actor.name,
            )
            if row is None:
                return await self._joined(transaction, tenant, new_id, digest, is_dry=asked.dry_run)
            made = offboarding_of(row)
            if not asked.dry_run:
                if asked.user_id is None:
                    await transaction.execute("close_tenant", tenant_id=tenant.tenant_id)
                action = "tenant.offboard" if asked.user_id is None else "user.forget"
                await transaction.note(actor, action, str(new_id), tenant.tenant_id)
            return made

        return await self._plane.run(work)

    async def get(self, offboarding_id: uuid.UUID) -> Offboarding | None:
        """One, or None."""
        return maybe_offboarding(await self._one("get_offboarding", offboarding_id=offboarding_id))

    async def open_of(self, tenant_id: uuid.UUID) -> Offboarding | None:
        """The tenant's own that is under way, or None."""
        row = await self._one("open_offboarding", tenant_id=tenant_id, user_digest=None, is_dry=False)
        return maybe_offboarding(row)

    async def page(
        self,
        *,
        tenant_id: uuid.UUID | None = None,
        state: str | None = None,
        before: uuid.UUID | None = None,
        limit: int = 100,
    ) -> list[Offboarding]:
        """Offboardings, newest first."""
        rows = await self._plane.run(
            lambda transaction: transaction.all(
                "list_offboardings", tenant_id=tenant_id, state=state, before=before, most=limit
            )
        )
        return [offboarding_of(row) for row in rows]

    async def recently_gone(self, within_s: float) -> list[uuid.UUID]:
        """Tenants that got their receipt not longer ago than that."""
        rows = await self._plane.run(lambda transaction: transaction.all("recently_gone", within_s=within_s))
        return [uuid.UUID(bytes=row["tenant_id"].bytes) for row in rows]

    async def cancel(self, found: Offboarding, *, actor: Actor) -> Offboarding | None:
        """Take it back: the tenant is as it was; None when purging has begun, or it is over."""

        async def work(transaction: Transaction) -> Offboarding | None:
            row = await transaction.one("cancel_offboarding", offboarding_id=found.offboarding_id)
            if row is not None:
                if found.kind == "tenant" and found.state != "measuring":
                    await transaction.execute(
                        "reopen_tenant", tenant_id=found.tenant_id, state=found.state_before
                    )
                target = str(found.offboarding_id)
                await transaction.note(actor, "offboarding.cancel", target, found.tenant_id)
            return maybe_offboarding(row)

        return await self._plane.run(work)

    async def skip_grace(self, found: Offboarding, *, actor: Actor) -> Offboarding | None:
        """Have purging begin at once; None when it has, or it is over."""

        async def work(transaction: Transaction) -> Offboarding | None:
            row = await transaction.one("skip_grace", offboarding_id=found.offboarding_id)
            if row is not None:
                target = str(found.offboarding_id)
                await transaction.note(actor, "offboarding.skip_grace", target, found.tenant_id)
            return maybe_offboarding(row)

        return await self._plane.run(work)

    async def take(self, holder: uuid.UUID, lease_s: float) -> Offboarding | None:
        """The oldest that something is to be done for and nobody does; one whose grace is over purges now."""
        return maybe_offboarding(await self._one("take_offboarding", holder=holder, lease_s=lease_s))

    async def hold(self, found: Offboarding, lease_s: float) -> bool | None:
        """Go on holding; None when somebody else holds it now, or it was cancelled."""
        values = {"offboarding_id": found.offboarding_id, "holder": found.holder, "lease_s": lease_s}
        return None if await self._one("hold_offboarding", **values) is None else True

    async def step(
        self,
        found: Offboarding,
        state: State,
        step: Step,
        *,
        lease_s: float,
        fenced: bool = False,
        placements: Sequence[int] | None = None,
        threads_total: int | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> Offboarding | None:
        """Note what is done; None when somebody else holds it now, or it was cancelled."""
        row = await self._one(
            "step_offboarding",
            offboarding_id=found.offboarding_id,
            holder=found.holder,
            state=state,
            step=step,
            lease_s=lease_s,
            fenced=fenced,
            placements=None if placements is None else list(placements),
            threads_total=threads_total,
            counts=json.dumps(dict(counts or {})),
        )
        return maybe_offboarding(row)

    async def measured(
        self, found: Offboarding, counts: Mapping[str, int], placements: Sequence[int], threads: int
    ) -> None:
        """End a dry run with what it counted."""
        await self._one(
            "end_measuring",
            offboarding_id=found.offboarding_id,
            holder=found.holder,
            counts=json.dumps(dict(counts)),
            placements=list(placements),
            threads_total=threads,
        )

    async def leave(self, found: Offboarding) -> None:
        """Nothing is to be done for now."""
        await self._done("leave_offboarding", found)

    async def put_off(self, found: Offboarding, error: str | None, after_s: float) -> None:
        """It did not work this time."""
        await self._done("put_off_offboarding", found, error=error, after_s=after_s)

    @staticmethod
    async def _joined(
        transaction: Transaction, tenant: Tenant, new_id: uuid.UUID, digest: bytes | None, *, is_dry: bool
    ) -> Offboarding:
        mine = await transaction.one("get_offboarding", offboarding_id=new_id)
        row = mine or await transaction.one(
            "open_offboarding", tenant_id=tenant.tenant_id, user_digest=digest, is_dry=is_dry
        )
        if row is None:
            raise OffboardingConflictError("This tenant is gone.")
        return offboarding_of(row)

    async def _done(self, name: str, found: Offboarding, **values: Any) -> None:
        await self._plane.run(
            lambda transaction: transaction.execute(
                name, offboarding_id=found.offboarding_id, holder=found.holder, **values
            )
        )

    async def _one(self, name: str, **values: Any) -> RowMapping | None:
        return await self._plane.run(lambda transaction: transaction.one(name, **values))
