"""What tenants used, in the database."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from importlib import resources
from typing import Any, Final, Literal, Protocol, Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.named_queries import named
from agentflow_tenancy.quotas import Used

Granularity = Literal["hour", "day"]

_QUERIES: Final = {
    name: text(query)
    for name, query in named(
        resources.files(__package__).joinpath("usage_queries.sql").read_text(encoding="utf-8")
    )
}


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
class TenantUsage:
    """One tenant's."""

    tenant_id: uuid.UUID
    slug: str
    usage: Usage


class UsageRepository:
    """Reads usage, and rolls it up. Each method is one transaction and one statement.

    Every method raises StoreUnavailableError when Postgres does not answer.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use an engine of this event loop."""
        self._engine = engine

    async def used(self, tenant_id: uuid.UUID) -> Used:
        """What a tenant keeps, and spent today: what quotas start from."""
        row = (await self._rows("used", {"tenant_id": tenant_id}))[0]
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
        return [(row["start"], Usage.of(row)) for row in await self._rows("usage", values)]

    async def of_all(
        self, since: datetime, until: datetime, *, after: str = "", limit: int = 100
    ) -> list[TenantUsage]:
        """Every tenant's, in the order of slugs, from the one behind `after` on."""
        values = {"since": since, "until": until, "after": after, "limit": limit}
        rows = await self._rows("usage_of_all", values)
        return [
            TenantUsage(uuid.UUID(bytes=row["tenant_id"].bytes), row["slug"], Usage.of(row)) for row in rows
        ]

    async def roll_up(self, *, batch: int = 20_000) -> int:
        """Add events to their hours, some at a time; how many of them."""
        rolled = 0
        while True:
            done: int = (await self._rows("roll_up", {"batch": batch}))[0]["rolled"]
            rolled += done
            if done < batch:
                return rolled

    async def _rows(self, name: str, values: Mapping[str, Any]) -> Sequence[_Row]:
        with translated():
            async with self._engine.begin() as connection:
                return (await connection.execute(_QUERIES[name], values)).mappings().all()
