"""What tenants used, in the database."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, Self

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.queries import USAGE_QUERIES
from agentflow_tenancy.quotas import Used

Granularity = Literal["hour", "day"]


class _Row(Protocol):
    def __getitem__(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used in some time.

    Attributes:
        stored_bytes: How much more is kept than before; less than zero when more was deleted than stored.
        threads: The same of threads.
    """

    runs: int = 0
    checkpoints: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    stored_bytes: int = 0
    threads: int = 0

    def plus(self, other: "Usage") -> "Usage":
        """Both."""
        return Usage(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    @classmethod
    def of(cls, row: _Row) -> Self:
        """From a row."""
        return cls(
            runs=row["runs"],
            checkpoints=row["checkpoints"],
            tokens_in=row["tokens_in"],
            tokens_out=row["tokens_out"],
            stored_bytes=row["bytes"],
            threads=row["threads"],
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What a tenant keeps now."""

    threads: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class TenantUsage:
    """One tenant's."""

    tenant_id: uuid.UUID
    slug: str
    usage: Usage


class UsageRepository:
    """Reads usage, and rolls it up. Each method is one transaction.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def used(self, tenant_id: uuid.UUID) -> Used:
        """What a tenant keeps, and spent today: what quotas start from."""
        row = (await self._rows("used", [tenant_id], {"tenant_id": tenant_id}))[0]
        return Used(row["threads"], row["bytes"], row["day"], row["tokens"], row["checkpoints"])

    async def of_tenant(
        self, tenant_id: uuid.UUID, since: datetime, until: datetime, granularity: Granularity
    ) -> list[tuple[datetime, Usage]]:
        """A tenant's usage, by hours or days of UTC in which there was some, oldest first.

        Args:
            tenant_id: Whose.
            since: An hour's beginning.
            until: The beginning of the first hour that no longer counts.
            granularity: What to add up.
        """
        values = {"tenant_id": tenant_id, "since": since, "until": until, "unit": granularity}
        return [(row["start"], Usage.of(row)) for row in await self._rows("usage", [tenant_id], values)]

    async def of_all(
        self, since: datetime, until: datetime, *, after: str = "", limit: int = 100
    ) -> list[TenantUsage]:
        """Every tenant's, in the order of slugs, from the one behind `after` on."""
        page = await self._rows("page_of_tenants", [], {"after": after, "limit": limit})
        slugs = {uuid.UUID(bytes=row["tenant_id"].bytes): row["slug"] for row in page}
        values = {"since": since, "until": until, "tenant_ids": list(slugs)}
        rows = await self._rows("usage_of_several", list(slugs), values)
        found = {uuid.UUID(bytes=row["tenant_id"].bytes): Usage.of(row) for row in rows}
        return [TenantUsage(one, slug, found.get(one, Usage())) for one, slug in slugs.items()]

    async def of_these(
        self, tenant_ids: Sequence[uuid.UUID], since: datetime, until: datetime
    ) -> dict[uuid.UUID, tuple[Kept, Usage]]:
        """What each of these tenants keeps now, and used between two times. Two round trips for all."""
        ids = list(tenant_ids)
        kept = await self._rows("kept_by_several", ids, {"tenant_ids": ids})
        values = {"since": since, "until": until, "tenant_ids": ids}
        rows = await self._rows("usage_of_several", ids, values)
        used = {uuid.UUID(bytes=row["tenant_id"].bytes): Usage.of(row) for row in rows}
        return {
            one: (Kept(row["threads"], row["bytes"]), used.get(one, Usage()))
            for row in kept
            for one in [uuid.UUID(bytes=row["tenant_id"].bytes)]
        }

    async def roll_up(self, *, batch: int = 20_000) -> int:
        """Add events to their hours, some at a time; how many of them. The operator's business."""
        rolled = 0
        while True:
            done: int = (await self._rows("roll_up", [], {"batch": batch}))[0]["rolled"]
            rolled += done
            if done < batch:
                return rolled

    async def _rows(
        self, name: str, tenants: Sequence[uuid.UUID], values: Mapping[str, Any]
    ) -> Sequence[_Row]:
        with translated():
            async with self._engine.begin() as connection:
                if tenants:
                    shown = "{" + ",".join(map(str, tenants)) + "}"
                    await connection.execute(USAGE_QUERIES["show_tenants"], {"shown": shown})
                return (await connection.execute(USAGE_QUERIES[name], values)).mappings().all()
