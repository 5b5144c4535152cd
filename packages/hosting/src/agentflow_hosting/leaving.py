"""What runs leave beside tables that say whose their rows are: tickets, and what hangs below a user's."""

from __future__ import annotations

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_hosting.queries import QUERIES
from agentflow_tenancy.offboarding import Subject
from agentflow_tenancy.slugs import stored_thread_id


class RunQueuePlace:
    """The run queue, as a place that an offboarding purges."""

    name = "run queue"

    def __init__(self, engine: AsyncEngine) -> None:
        """With an engine of the login that owns the tables."""
        self._engine = engine

    async def purge(self, subject: Subject) -> int:
        """Delete the tickets that name the tenant, or the runs of its user.

        Raises:
            StoreUnavailableError: Postgres does not answer.
        """
        if subject.user_id is not None:
            values = {"tenant_id": subject.tenant_id, "user_id": subject.user_id}
            return await self._number("purge_runs_of_user", {**values, "until": subject.until})
        return await self._number("purge_tickets", _needles(subject))

    async def count(self, subject: Subject) -> int:
        """How many there are; raises as `purge`."""
        if subject.user_id is not None:
            values = {"tenant_id": subject.tenant_id, "user_id": subject.user_id}
            return await self._number("count_runs_of_user", values)
        return await self._number("count_tickets", _needles(subject))

    async def _number(self, name: str, values: dict[str, Any]) -> int:
        return await _number(self._engine, name, values)


class AnswersPlace:
    """What was answered to requests that may be repeated, where no run says whose it is."""

    name = "kept answers"

    def __init__(self, engine: AsyncEngine) -> None:
        """With an engine of the login that owns the tables."""
        self._engine = engine

    async def purge(self, subject: Subject) -> int:
        """Delete the operator's that are about the tenant or its user, and the tenant's that name the user.

        What was answered names them in its fields; other words of it may be the same as somebody's name.
        Answers that are under way and may be about them are not kept, though who works on them goes on
        undisturbed; whoever stores one at this moment is waited for.

        Raises:
            StoreUnavailableError: Postgres does not answer, or somebody took too long to store one.
        """
        with translated():
            async with self._engine.begin() as transaction:
                await transaction.execute(QUERIES["end_claims"], _whose(subject))
        return await self._each("purge", subject)

    async def count(self, subject: Subject) -> int:
        """How many there are; raises as `purge`."""
        return await self._each("count", subject)

    async def _each(self, what: str, subject: Subject) -> int:
        whose = _whose(subject)
        if what == "purge":
            whose["until"] = subject.until
        found = await _number(self._engine, f"{what}_operators_answers", {**whose, "slug": subject.slug})
        if subject.user_id is not None:
            found += await _number(self._engine, f"{what}_users_answers", whose)
        return found


async def _number(engine: AsyncEngine, name: str, values: dict[str, Any]) -> int:
    with translated():
        async with engine.begin() as transaction:
            number: int = (await transaction.execute(QUERIES[name], values)).scalar_one()
            return number


def _whose(subject: Subject) -> dict[str, Any]:
    of_user = subject.user_id is not None
    return {"tenant_id": subject.tenant_id, "user_id": subject.user_id, "of_user": of_user}


def _needles(subject: Subject) -> dict[str, str]:
    return {"needle": str(subject.tenant_id), "prefix": stored_thread_id(subject.slug, "")}
