"""Connections to Postgres: SQLAlchemy's pool, and the driver's own connection for single statements."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection, QueuePool
from sqlalchemy.util import greenlet_spawn

from agentflow.errors import ConfigurationError, StoreUnavailableError
from agentflow.storage.checkpointer.driver_errors import meaning_of, translated
from agentflow.storage.checkpointer.pool_spans import tell_statements

_SCHEMES = {"postgresql+asyncpg", "postgresql", "postgres"}

# Every statement binds its placement, so that a plan made once visits one leaf: planning anew for each call
# would cost more than the call.
_PLANS: Final = {"plan_cache_mode": "force_generic_plan"}

# How long a connection waits for the next statement before it goes back to the pool.
_SPARE_S: Final = 0.05


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
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        poolclass=WatchedPool,
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
            # Reading statements stand there once for each placement.
            "statement_cache_size": 500,
            "server_settings": {"application_name": "agentflow", "jit": "off", **_PLANS},
        },
    )
    tell_statements(engine)
    return engine


# SQLAlchemy names a pool's logger by its class, and tells every end of a pool there.
logging.getLogger(f"{__name__}.WatchedPool").setLevel(logging.WARNING)


class WatchedPool(AsyncAdaptedQueuePool):
    """SQLAlchemy's, which tells how long each connection was waited for, when somebody asked.

    Attributes:
        waited: Told in seconds, also when there was none in time.
    """

    waited: Callable[[float], None] | None = None

    def connect(self) -> PoolProxiedConnection:
        """See there."""
        if self.waited is None:
            return super().connect()
        began = time.perf_counter()
        try:
            return super().connect()
        finally:
            self.waited(time.perf_counter() - began)

    def states(self) -> dict[str, int]:
        """Connections lent (`in_use`), open and not lent (`idle`), and the most there may be (`limit`)."""
        limit = self.size() + self._max_overflow
        return {"in_use": self.checkedout(), "idle": self.checkedin(), "limit": limit}


def watch_pool(engine: AsyncEngine, waited: Callable[[float], None]) -> None:
    """Have told how long connections are waited for; those at hand for single statements are no wait."""
    pool = engine.sync_engine.pool
    if isinstance(pool, WatchedPool):
        pool.waited = waited


def connections_of(engine: AsyncEngine) -> dict[str, int]:
    """How many there are by state; see `WatchedPool.states`."""
    pool = engine.sync_engine.pool
    return pool.states() if isinstance(pool, WatchedPool) else {}


def recreated(engine: AsyncEngine) -> AsyncEngine:
    """An engine with the same settings and a pool of its own, for another event loop."""
    sync = engine.sync_engine
    again = AsyncEngine(type(sync)(sync.pool.recreate(), sync.dialect, sync.url))
    tell_statements(again)
    return again


@asynccontextmanager
async def connection(engine: AsyncEngine) -> AsyncGenerator[asyncpg.Connection[Any]]:
    """The driver's connection, from the engine's pool, outside of any transaction.

    For what runs now and then; statements of the hot path go through `Connections`.

    Raises:
        What `driver_errors.translated` raises, also for what happens inside.
    """
    connections = Connections(engine)
    try:
        async with connections.use() as driver:
            yield driver
    finally:
        await connections.close()


class Connections:
    """The engine's connections for single statements, without the price of the pool for each.

    A check-out and a check-in cost more than a tenth of a lone write. So a connection that comes back is kept
    at hand for a moment, the last one first; what nobody asked for by then goes back to the pool. Never more
    than a quarter of the pool is kept so, and nothing of a pool of fewer than four.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Nothing is opened yet."""
        self._engine = engine
        self._spare: list[_Held] = []
        self._returning: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._in_use = 0
        self._unused: asyncio.Future[None] | None = None
        self.closed = False
        pool = engine.sync_engine.pool
        self._most_spare = pool.size() // 4 if isinstance(pool, QueuePool) else 0
        if self._most_spare:
            event.listen(engine.sync_engine, "engine_disposed", self._on_disposed)

    def use(self) -> _Use:
        """A connection to send single statements on: each is one round trip, with nothing around it.

        A connection that was cut or cancelled in the middle never goes back to the pool.

        Raises:
            StoreUnavailableError: Closed.
            What `driver_errors.translated` raises, also for what happens inside.
        """
        return _Use(self)

    async def lend(self) -> _Held:
        """A connection that must be given back. Raises what `use` does."""
        if self.closed:
            raise StoreUnavailableError("The checkpointer was closed meanwhile; the call may be repeated.")
        self._in_use += 1
        try:
            with translated():
                return await self._take()
        except BaseException:  # also when cancelled: who closes waits for what is lent
            self._is_unused()
            raise

    def lend_spare(self) -> _Held | None:
        """The same, if one is at hand."""
        if self.closed or not self._spare or self._spare[-1].driver.is_closed():
            return None
        self._in_use += 1
        return self._spare.pop()

    async def take_back(self, held: _Held, error: BaseException | None) -> None:
        """A connection on which that went wrong, or nothing."""
        # The server answered: the connection is as good as before, unless it is being closed.
        sound = error is None or (
            isinstance(error, asyncpg.PostgresError)
            and not isinstance(error, asyncpg.OperatorInterventionError)
        )
        try:
            with translated():
                await self._give_back(held, sound=sound and not held.driver.is_closed())
        finally:
            self._is_unused()

    async def close(self) -> None:
        """Lend no more, wait for what is lent, and give back what is at hand. For good."""
        self.closed = True
        if self._in_use:
            self._unused = asyncio.get_running_loop().create_future()
            await self._unused
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._most_spare:
            self._most_spare = 0
            if event.contains(self._engine.sync_engine, "engine_disposed", self._on_disposed):
                event.remove(self._engine.sync_engine, "engine_disposed", self._on_disposed)
        spare, self._spare = self._spare, []
        for held in spare:
            await greenlet_spawn(held.proxied.close)
        await asyncio.gather(*self._returning)

    def _is_unused(self) -> None:
        self._in_use -= 1
        if self._unused is not None and not self._in_use and not self._unused.done():
            self._unused.set_result(None)

    async def _take(self) -> _Held:
        while self._spare:
            held = self._spare.pop()
            if not held.driver.is_closed():
                return held
            await greenlet_spawn(held.proxied.invalidate)
        return await _checked_out(self._engine)

    async def _give_back(self, held: _Held, *, sound: bool) -> None:
        if not sound:
            held.driver.terminate()
            await asyncio.shield(asyncio.ensure_future(greenlet_spawn(held.proxied.invalidate)))
        elif len(self._spare) < self._most_spare:
            held.idle_since = asyncio.get_running_loop().time()
            self._spare.append(held)
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(_SPARE_S, self._return_idle)
        else:
            await greenlet_spawn(held.proxied.close)

    def _on_disposed(self, _engine: object) -> None:
        # The pool does not close what it has given out; nobody would.
        spare, self._spare = self._spare, []
        for held in spare:
            held.proxied.detach()
            held.driver.terminate()

    def _return_idle(self) -> None:
        loop = asyncio.get_running_loop()
        used_since = loop.time() - _SPARE_S
        idle = [held for held in self._spare if held.idle_since <= used_since]
        self._spare = [held for held in self._spare if held.idle_since > used_since]
        for held in idle:
            task = loop.create_task(greenlet_spawn(held.proxied.close))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)
        self._timer = loop.call_later(_SPARE_S, self._return_idle) if self._spare else None


@dataclass(slots=True)
class _Held:
    proxied: PoolProxiedConnection
    driver: asyncpg.Connection[Any]
    idle_since: float = 0.0


class _Use:
    """See `Connections.use`. A class: a generator's context costs as much as the driver's own work."""

    __slots__ = ("_connections", "_held")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def __aenter__(self) -> asyncpg.Connection[Any]:
        self._held = self._connections.lend_spare() or await self._connections.lend()
        return self._held.driver

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connections.take_back(self._held, error)
        meant = None if error is None else meaning_of(error)
        if meant is not None:
            raise meant from error


async def _checked_out(engine: AsyncEngine) -> _Held:
    """A connection that is not known to be dead: after a restart of the server all in the pool are."""
    while True:
        proxied = await engine.raw_connection()
        # SQLAlchemy does not know which driver it drives.
        driver: asyncpg.Connection[Any] = proxied.driver_connection  # type: ignore[assignment]
        if not driver.is_closed():
            return _Held(proxied, driver)
        await greenlet_spawn(proxied.invalidate)


def _bad_url(what: str) -> str:
    return f"db_url {what}: write postgresql+asyncpg://user:password@host:5432/database."
