"""Connections to Postgres: SQLAlchemy's pool, and the driver's own connection for single statements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer.driver_errors import translated

_SCHEMES = {"postgresql+asyncpg", "postgresql", "postgres"}


def engine_from_url(db_url: str, *, pool_size: int, max_overflow: int, timeout_s: float) -> AsyncEngine:
    """An engine for `postgresql+asyncpg://user:password@host:port/database`.

    Raises:
        ConfigurationError: The URL is not one, or is not for Postgres.
    """
    try:
        url = make_url(db_url)
    except (ArgumentError, TypeError, ValueError):
        # Without its cause, which quotes the URL and the password in it.
        raise ConfigurationError(_bad_url("is not a URL")) from None
    if url.drivername not in _SCHEMES:
        raise ConfigurationError(_bad_url(f"starts with {url.drivername}://"))
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=timeout_s,
        # A dead connection is noticed by the statement that meets it, which is repeated: asking
        # before each one would be a second round trip.
        pool_pre_ping=False,
        # Single statements leave nothing behind that a reset would have to undo.
        pool_reset_on_return=None,
        connect_args={
            "timeout": min(timeout_s, 5.0),
            "command_timeout": timeout_s,
            "server_settings": {"application_name": "agentflow", "jit": "off"},
        },
    )


def recreated(engine: AsyncEngine) -> AsyncEngine:
    """An engine with the same settings and a pool of its own, for another event loop."""
    sync = engine.sync_engine
    return AsyncEngine(type(sync)(sync.pool.recreate(), sync.dialect, sync.url))


@asynccontextmanager
async def connection(engine: AsyncEngine) -> AsyncGenerator[asyncpg.Connection[Any]]:
    """The driver's connection, from the engine's pool, outside of any transaction.

    A single statement on it is one round trip: nothing is begun, rolled back or reset around it.
    A connection that was cut or cancelled in the middle never goes back to the pool.

    Raises:
        What `driver_errors.translated` raises, also for what happens inside.
    """
    with translated():
        proxied, driver = await _checked_out(engine)
        sound = False
        try:
            yield driver
            sound = True
        except asyncpg.PostgresError as error:
            # The server answered: the connection is as good as before, unless it is being closed.
            sound = not (driver.is_closed() or isinstance(error, asyncpg.OperatorInterventionError))
            raise
        finally:
            if sound:
                await greenlet_spawn(proxied.close)
            else:
                driver.terminate()
                await asyncio.shield(asyncio.ensure_future(greenlet_spawn(proxied.invalidate)))


async def _checked_out(engine: AsyncEngine) -> tuple[PoolProxiedConnection, asyncpg.Connection[Any]]:
    """A connection that is not known to be dead: after a restart of the server all in the pool are."""
    while True:
        proxied = await engine.raw_connection()
        # SQLAlchemy does not know which driver it drives.
        driver: asyncpg.Connection[Any] = proxied.driver_connection  # type: ignore[assignment]
        if not driver.is_closed():
            return proxied, driver
        await greenlet_spawn(proxied.invalidate)


def _bad_url(what: str) -> str:
    return f"db_url {what}: write postgresql+asyncpg://user:password@host:5432/database."
