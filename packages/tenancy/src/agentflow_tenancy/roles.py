"""The database roles of a deployment, and whether a service was given the right one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer.driver_errors import translated
from agentflow_tenancy.queries import QUERIES
from agentflow_tenancy.restores import RestoreWatch, check_restored

APP_ROLE: Final = "agentflow_app"


class UnsafeRoleError(ConfigurationError):
    """A service would see more than the tenants it serves; the text says why, and what to do."""


async def ensure_login(engine: AsyncEngine, name: str, password: str) -> None:
    """Make a login that may do what the API and the runs do, or give an old one this password.

    Args:
        engine: Of a role that may create roles.
        name: Of the login.
        password: Its new password.

    Raises:
        StorageError: The role may not create others.
    """
    with translated():
        async with engine.begin() as connection:
            values = {"name": name, "password": password, "role": APP_ROLE}
            statements = await connection.execute(QUERIES["login_statements"], values)
            for statement in statements.scalars().all():
                await connection.exec_driver_sql(statement)


async def check_app_role(engine: AsyncEngine) -> None:
    """Refuse to serve tenants as somebody whom row level security does not bind.

    Raises:
        UnsafeRoleError: The login is a superuser, owns tables, sees all tenants, has rights on leaves, or
            a table is open.
        StoreUnavailableError: Postgres does not answer.

    One round trip.
    """
    with translated():
        async with engine.begin() as connection:
            findings = (await connection.execute(QUERIES["role_findings"])).scalars().all()
    if findings:
        raise UnsafeRoleError(
            "AGENTFLOW_DATABASE_URL must name a login that row level security binds, of agentflow_app, but "
            + "; ".join(findings)
            + ". Make one with 'agentflow-cloud login'."
        )


class RoleGuard:
    """Asks whether the login is safe and the database whole; until then nobody is served.

    Once, and again when the database was restored while this process runs.
    """

    def __init__(self, engine: AsyncEngine, *forget: Callable[[], None]) -> None:
        """Nothing is asked yet.

        Args:
            engine: Its connections are looked at from now on; see `RestoreWatch`.
            forget: Likewise.
        """
        RestoreWatch(engine, self._doubt, *forget)
        self._engine = engine
        self._asking = asyncio.Lock()
        self._is_safe = False

    async def require(self) -> None:
        """Go on only with a safe login, and no half-done restore. Costs nothing once that is known.

        Raises:
            UnsafeRoleError, StoreUnavailableError: See `check_app_role`.
            UnappliedTombstonesError: See `check_restored`.
        """
        if self._is_safe:
            return
        async with self._asking:
            if not self._is_safe:
                await check_app_role(self._engine)
                await check_restored(self._engine)
                self._is_safe = True

    def _doubt(self) -> None:
        self._is_safe = False
