"""Databases for tests: fresh or cloned from a migrated template, dropped at the end, watched for leaks."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from agentflow.storage.checkpointer.pool import engine_from_url
from agentflow_tenancy.roles import ensure_login
from tests.support.run import ROOT

_LEAVE_TIMEOUT_S = 5.0
# Of the server, so shared by all tests of a run: made once, with a password that says nothing.
_APP_LOGIN = "agentflow_test_app"
_APP_PASSWORD = "test"


def new_name(kind: str) -> str:
    return f"af_{kind}_{secrets.token_hex(6)}"


def url_of(server_url: str, database: str) -> str:
    return make_url(server_url).set(database=database).render_as_string(hide_password=False)


def create(server_url: str, name: str, template: str | None = None) -> None:
    """Create a database; a clone of a template takes about as long as an empty one."""
    execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template or "template0"}"')


def drop(server_url: str, name: str) -> None:
    """Drop a database with whoever is connected; the server's own workers in it are sent away."""
    deadline = time.monotonic() + _LEAVE_TIMEOUT_S
    with_force = True
    while True:
        try:
            execute(server_url, f'DROP DATABASE IF EXISTS "{name}"{" WITH (FORCE)" if with_force else ""}')
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            # An autovacuum worker is in it: force needs a right on it, while without force the server itself
            # sends it away, and nobody else.
            if time.monotonic() > deadline:
                raise
            with_force = not with_force
            time.sleep(0.05)
        else:
            return


def open_connections(server_url: str, name: str, timeout_s: float = _LEAVE_TIMEOUT_S) -> list[str]:
    """Return what the connections to a database last did, once those being closed had time to go."""
    return run(_open_connections(server_url, name, timeout_s))


def app_url(database_url: str) -> str:
    """The address for a service: by a login that row level security binds, which `migrate` made."""
    url = make_url(database_url).set(username=_APP_LOGIN, password=_APP_PASSWORD)
    return url.render_as_string(hide_password=False)


def execute(database_url: str, statement: str) -> None:
    """Have a statement done, as who owns the database."""
    run(_execute(database_url, statement))


def migrate(database_url: str) -> None:
    """Bring a database to the newest schema as an operator would, with alembic."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "migrations" / "alembic.ini"), "upgrade", "head"],
        cwd=ROOT,
        env={**os.environ, "AGENTFLOW_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the migrations failed:\n{done.stdout}{done.stderr}")
    run(_ensure_login(database_url))


def run[T](work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from anywhere, also where a loop is running, without touching that loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _ensure_login(database_url: str) -> None:
    engine = engine_from_url(database_url, pool_size=1, max_overflow=0, timeout_s=30)
    try:
        async with engine.begin() as connection:
            found = "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = :name"
            if (await connection.execute(text(found), {"name": _APP_LOGIN})).scalar_one():
                return
        await ensure_login(engine, _APP_LOGIN, _APP_PASSWORD)
    finally:
        await engine.dispose()


async def _execute(server_url: str, statement: str) -> None:
    connection = await _connect(server_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _open_connections(server_url: str, name: str, timeout_s: float) -> list[str]:
    deadline = time.monotonic() + timeout_s
    connection = await _connect(server_url)
    try:
        while True:
            rows = await connection.fetch(
                "SELECT concat_ws(' ', application_name, state, left(query, 200)) AS what"
                " FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'",
                name,
            )
            if not rows or time.monotonic() > deadline:
                return [row["what"] for row in rows]
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def _connect(server_url: str) -> "asyncpg.Connection[asyncpg.Record]":
    url: URL = make_url(server_url)
    return await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
