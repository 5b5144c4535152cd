"""Looks for what is left of a tenant or user: in every table and leaf, and in every other place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.pool import connection
from agentflow_tenancy.offboarding.places import Place
from agentflow_tenancy.offboarding.purger import KEPT, Table
from agentflow_tenancy.offboarding.records import Subject
from agentflow_tenancy.offboarding.statements import of_table, statement


@dataclass(frozen=True, slots=True)
class Look:
    """One look, and what was found."""

    place: str
    question: str
    found: int


class Verifier:
    """Asks the catalogue for the tables, so that none is forgotten."""

    def __init__(self, engine: AsyncEngine, places: Sequence[Place]) -> None:
        """Nothing is asked yet.

        Args:
            engine: Of a login that row level security hides nothing from.
            places: What is looked into beside the tables.
        """
        self._engine = engine
        self._places = places

    async def looks(self, subject: Subject) -> list[Look]:
        """Every look. All of them found nothing if nothing is left.

        Raises:
            StoreUnavailableError: A place does not answer.

        Cost: an index look-up for each table and each leaf of every placement, one pass over Redis.
        """
        looks = await self._in_tables(subject)
        for place in self._places:
            looks.append(Look(place.name, "count", await place.count(subject)))
        return looks

    async def _in_tables(self, subject: Subject) -> list[Look]:
        async with connection(self._engine) as driver:
            # A login from whom rows are hidden would find nothing everywhere.
            sees = await driver.fetchval(statement("sees_all"))
            looks = [Look("login", "sees the rows of every tenant", 0 if sees else 1)]
            for row in await driver.fetch(statement("tables")):
                table = Table(**row)
                if table.name in KEPT or (subject.user_id is not None and not table.has_user):
                    continue
                name = "count_table" if subject.user_id is None else "count_table_of_user"
                text = of_table(name, table.name)
                arguments: list[Any] = [subject.tenant_id]
                arguments += [] if subject.user_id is None else [subject.user_id]
                looks.append(Look(table.name, _question(subject), await driver.fetchval(text, *arguments)))
            return looks


def left_over(looks: Sequence[Look]) -> list[Look]:
    """Those that found something."""
    return [look for look in looks if look.found]


def is_leaf(name: str) -> bool:
    """Whether a table is one of a placement's: its name says so."""
    head, _, number = name.rpartition("_p")
    return bool(head) and number.isdecimal()


def parent_of(name: str) -> str:
    """The partitioned table of a leaf; the name itself of anything else."""
    return name.rpartition("_p")[0] if is_leaf(name) else name


def _question(subject: Subject) -> str:
    """Without what it asked for: that would be what is looked for."""
    return "tenant_id = ?" if subject.user_id is None else "tenant_id = ? AND user_id = ?"
