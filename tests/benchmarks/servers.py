"""The servers to measure on."""

import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg

from agentflow_embedded import Stack

# A server with room, and as durable as any: fsync and synchronous_commit are on by default.
SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "30min",
    "fsync": "on",
    "synchronous_commit": "on",
}


@contextmanager
def own_servers(**settings: str) -> Iterator[Stack]:
    """A PostgreSQL 18 and a Valkey without persistence, in a temporary folder."""
    asked = {**SETTINGS, **settings}
    with (
        _folder() as folder,
        Stack(folder, postgres_settings=asked) as stack,
    ):
        yield stack


@contextmanager
def _folder() -> Iterator[Path]:
    """One that the servers' accounts may enter: otherwise their files live elsewhere, and outlive it."""
    with tempfile.TemporaryDirectory(prefix="af-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def servers(database_url: str | None, redis_url: str | None) -> Iterator[tuple[str, str]]:
    """URLs of servers: those given, or of a pair of our own."""
    if database_url and redis_url:
        yield database_url, redis_url
        return
    with own_servers() as stack:
        yield stack.postgres.url, stack.valkey.url


async def about(dsn: str) -> dict[str, Any]:
    """What the figures were measured on."""
    connection = await asyncpg.connect(dsn)
    try:
        names = ["server_version", *SETTINGS]
        postgres = {name: await connection.fetchval(f"SHOW {name}") for name in names}
    finally:
        await connection.close()
    machine = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    return {**machine, "python": platform.python_version(), "postgres": postgres}
