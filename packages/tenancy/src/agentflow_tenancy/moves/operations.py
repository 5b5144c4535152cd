"""Moves as records: asked for, taken, held, ended."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.types import FIRST_OWN_PLACEMENT
from agentflow_tenancy.control_plane import Actor, ControlPlane, Transaction
from agentflow_tenancy.errors import MoveConflictError
from agentflow_tenancy.schema import POOL_PLACEMENTS
from agentflow_tenancy.tenants import Tenant

type Step = Literal["prepare", "announce", "fence", "move", "finish", "clean", "end"]


@dataclass(frozen=True, slots=True)
class Operation:
    """A move, as it stands.

    Attributes:
        target: None until a partition for it is made.
        step: Where it goes on.
        holder: Who works on it.
    """

    operation_id: uuid.UUID
    tenant_id: uuid.UUID
    kind: str
    source: int
    target: int | None
    state: str
    step: Step
    cancel_requested: bool
    threads_total: int | None
    threads_moved: int
    rows_moved: int
    attempts: int
    error: str | None
    requested_by: str
    reason: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    holder: uuid.UUID | None
    held_until: datetime | None


@dataclass(frozen=True, slots=True)
class TenantSize:
    """What a tenant keeps and writes."""

    tenant_id: uuid.UUID
    slug: str
    placement: int
    moving_to: int | None
    threads: int
    bytes: int
    checkpoints_last_hour: int
    moved_at: datetime | None
    is_moving: bool


@dataclass(frozen=True, slots=True)
class PartitionSize:
    """A placement's leaves on disk, indexes included."""

    placement: int
    size_bytes: int
    tenants: int


class OperationRepository:
    """Reads and writes operations. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._plane = ControlPlane(engine)

    async def request(
        self,
        tenant: Tenant,
        target: int | None,
        *,
        actor: Actor,
        reason: str = "",
        operation_id: uuid.UUID | None = None,
    ) -> Operation:
        """Have a tenant moved.

        Args:
            tenant: As it was read.
            target: A pool placement, or None for a partition of its own.
            actor: Who asks.
            reason: Why, for the record.
            operation_id: Its id, random and of this move alone; made if not given.

        Returns:
            The operation; the one that is open already, if it has the same target.

        Raises:
            MoveConflictError: Another move is open, it lives there already, or it leaves.
        """
        new_id = operation_id or uuid.uuid4()
        if tenant.state == "offboarding":
            raise MoveConflictError(f"Tenant {tenant.slug!r} is being offboarded.")

        async def work(transaction: Transaction) -> Operation:
            row = await transaction.one(
                "create_operation",
                operation_id=new_id,
                tenant_id=tenant.tenant_id,
                kind=_kind(tenant.placement, target),
                target=target,
                requested_by=actor.name,
                reason=reason,
            )
            if row is None:
                return await self._joined(transaction, tenant, target)
            operation = _operation(row)
            details = {"operation_id": operation.operation_id, "from": operation.source, "to": target}
            await transaction.note(actor, "tenant.move", tenant.slug, tenant.tenant_id, details)
            return operation

        return await self._plane.run(work)

    async def get(self, operation_id: uuid.UUID) -> Operation | None:
        """One operation, or None."""
        return _maybe(await self._one("get_operation", operation_id=operation_id))

    async def page(
        self,
        *,
        tenant_id: uuid.UUID | None = None,
        state: str | None = None,
        before: uuid.UUID | None = None,
        limit: int = 100,
    ) -> list[Operation]:
        """Operations, newest first."""
        rows = await self._plane.run(
            lambda transaction: transaction.all(
                "list_operations", tenant_id=tenant_id, state=state, before=before, most=limit
            )
        )
        return [_operation(row) for row in rows]

    async def cancel(self, operation: Operation, *, actor: Actor) -> Operation | None:
        """Have a move undone; None when it has ended already."""

        async def work(transaction: Transaction) -> Operation | None:
            row = await transaction.one("cancel_operation", operation_id=operation.operation_id)
            if row is not None:
                target = str(operation.operation_id)
                await transaction.note(actor, "operation.cancel", target, operation.tenant_id)
            return _maybe(row)

        return await self._plane.run(work)

    async def take(self, holder: uuid.UUID, lease_s: float) -> Operation | None:
        """The oldest operation that nobody works on; None when there is none."""
        return _maybe(await self._one("take_operation", holder=holder, lease_s=lease_s))

    async def hold(self, operation: Operation, lease_s: float) -> bool | None:
        """Go on holding; whether it shall be undone. None when somebody else holds it now."""
        row = await self._one(
            "hold_operation", operation_id=operation.operation_id, holder=operation.holder, lease_s=lease_s
        )
        return None if row is None else bool(row["cancel_requested"])

    async def step(
        self,
        operation: Operation,
        step: Step,
        *,
        lease_s: float,
        target: int | None = None,
        threads_total: int | None = None,
        threads: int = 0,
        rows: int = 0,
    ) -> bool | None:
        """Note what is done; as `hold`."""
        row = await self._one(
            "step_operation",
            operation_id=operation.operation_id,
            holder=operation.holder,
            step=step,
            target=target,
            threads_total=threads_total,
            threads=threads,
            rows=rows,
            lease_s=lease_s,
        )
        return None if row is None else bool(row["cancel_requested"])

    async def end(self, operation: Operation, state: str, error: str | None = None) -> bool:
        """It is over; False when somebody else holds it now."""
        row = await self._one(
            "end_operation",
            operation_id=operation.operation_id,
            holder=operation.holder,
            state=state,
            error=error,
        )
        return row is not None

    async def put_off(self, operation: Operation, error: str | None, after_s: float) -> None:
        """It did not work this time."""
        await self._one(
            "put_off_operation",
            operation_id=operation.operation_id,
            holder=operation.holder,
            error=error,
            after_s=after_s,
        )

    async def tenant_sizes(self) -> list[TenantSize]:
        """What every tenant keeps and writes."""

        async def work(transaction: Transaction) -> Sequence[RowMapping]:
            # Also for a login that is shown only the tenants it names.
            await transaction.execute("show_all_tenants")
            return await transaction.all("tenant_sizes")

        rows = await self._plane.run(work)
        return [TenantSize(**{**row, "tenant_id": _uuid(row["tenant_id"])}) for row in rows]

    async def partition_sizes(self) -> list[PartitionSize]:
        """Every placement's size on disk."""
        rows = await self._plane.run(lambda transaction: transaction.all("partition_sizes"))
        return [PartitionSize(**row) for row in rows]

    async def _joined(self, transaction: Transaction, tenant: Tenant, target: int | None) -> Operation:
        open_one = _maybe(await transaction.one("open_operation", tenant_id=tenant.tenant_id))
        if open_one is None:
            raise MoveConflictError(f"Tenant {tenant.slug!r} lives in placement {target} already.")
        wants_own = target is None and (open_one.target is None or open_one.target >= FIRST_OWN_PLACEMENT)
        if (wants_own or open_one.target == target) and not open_one.cancel_requested:
            return open_one
        raise MoveConflictError(
            f"Tenant {tenant.slug!r} is being moved already (operation {open_one.operation_id}): "
            "wait for its end, or cancel it first."
        )

    async def _one(self, name: str, **values: Any) -> RowMapping | None:
        return await self._plane.run(lambda transaction: transaction.one(name, **values))


def _kind(source: int, target: int | None) -> str:
    if target is None or target >= FIRST_OWN_PLACEMENT:
        return "promote"
    return "demote" if source >= FIRST_OWN_PLACEMENT and target in POOL_PLACEMENTS else "move"


def _maybe(row: RowMapping | None) -> Operation | None:
    return None if row is None else _operation(row)


def _operation(row: RowMapping) -> Operation:
    values = {field.name: row[field.name] for field in fields(Operation)}
    for name in ("operation_id", "tenant_id", "holder"):
        values[name] = _uuid(values[name])
    return Operation(**values)


def _uuid(value: Any) -> Any:
    return None if value is None else uuid.UUID(bytes=value.bytes)
