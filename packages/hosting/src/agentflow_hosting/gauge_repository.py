"""What the database holds, in numbers for whoever runs the service."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_hosting.queries import QUERIES


@dataclass(frozen=True, slots=True)
class TenantGauges:
    """What a tenant keeps; `tenant_id` is None for all that are not among the largest."""

    tenant_id: uuid.UUID | None
    slug: str
    plan: str
    placement: int
    threads: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PartitionGauges:
    """What a placement's leaves take; rows are the planner's estimate."""

    placement: int
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """All of it, at one moment.

    Attributes:
        tenants: The largest, and all others as one.
        partitions: Every placement that has leaves.
        runs_queued: Runs that wait.
        queue_age_s: Since when the one that waits longest could begin.
        runs_active: Runs that somebody works on.
        operations: How many by kind and state: open ones, and those that ended within a day.
        stored_spans_bytes: What spans of runs take.
    """

    tenants: tuple[TenantGauges, ...]
    partitions: tuple[PartitionGauges, ...]
    runs_queued: int
    queue_age_s: float
    runs_active: int
    operations: dict[tuple[str, str], int]
    stored_spans_bytes: int


class GaugeRepository:
    """Reads gauges, for a login that sees every tenant."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def read(self, *, most_tenants: int) -> Gauges:
        """How things stand.

        Cost: five statements in one transaction: usage that is not rolled up yet, a row a tenant, sizes of
        files, and the index of open runs.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        with translated():
            async with self._engine.begin() as connection:
                tenants = await _all(connection, "tenant_gauges", most=most_tenants)
                partitions = await _all(connection, "partition_gauges")
                runs = (await _all(connection, "run_gauges"))[0]
                operations = await _all(connection, "operation_gauges")
                spans = (await _all(connection, "stored_spans_gauge"))[0]
        return Gauges(
            tenants=tuple(_tenant(row) for row in tenants),
            partitions=tuple(PartitionGauges(**row) for row in partitions),
            runs_queued=runs["queued"],
            queue_age_s=runs["age_s"],
            runs_active=runs["active"],
            operations={(row["kind"], row["state"]): row["count"] for row in operations},
            stored_spans_bytes=spans["bytes"],
        )


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits to be done.

    Attributes:
        runs_queued, runs_active: Runs that wait, and that somebody works on.
        queue_age_s: Since when the one that waits longest could begin.
        offboardings: That are not over.
    """

    runs_queued: int
    runs_active: int
    queue_age_s: float
    offboardings: int


class BacklogRepository:
    """Reads what waits, for the service's own login."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def read(self) -> Backlog:
        """How much waits. Three statements in one transaction; cost: indexes of what is open.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        with translated():
            async with self._engine.begin() as connection:
                await _all(connection, "show_all_for_gauges")
                runs = (await _all(connection, "run_gauges"))[0]
                leaving = (await _all(connection, "offboarding_backlog"))[0]
        return Backlog(runs["queued"], runs["active"], runs["age_s"], leaving["open"])


async def _all(connection: AsyncConnection, name: str, **values: Any) -> list[RowMapping]:
    return list((await connection.execute(QUERIES[name], values)).mappings())


def _tenant(row: RowMapping) -> TenantGauges:
    found = row["tenant_id"]
    return TenantGauges(
        tenant_id=None if found is None else uuid.UUID(bytes=found.bytes),
        slug=row["slug"] or "",
        plan=row["plan"] or "",
        placement=row["placement"] or 0,
        threads=row["threads"],
        bytes=row["bytes"],
    )
