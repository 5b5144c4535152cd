"""Addresses and secrets of the Postgres checkpointer."""

import traceback

import pytest

from agentflow.errors import ConfigurationError
from agentflow.storage.checkpointer import PgCheckpointer

SECRET = "correct-horse"  # a made-up one


@pytest.mark.parametrize(
    ("db_url", "redis_url"),
    [
        (f"mysql://u:{SECRET}@localhost/x", None),
        (f"postgresql+asyncpg://u:{SECRET}@localhost:port/x", None),
        (f"u:{SECRET}@localhost/x", None),
        ("postgresql+asyncpg://localhost/x", f"http://:{SECRET}@localhost"),
        ("postgresql+asyncpg://localhost/x", f"redis://:{SECRET}@localhost:port/0"),
        ("postgresql+asyncpg://localhost/x", f"redis://:{SECRET}@localhost/0?socket_timeout=soon"),
    ],
)
def test_no_error_shows_a_password(db_url: str, redis_url: str | None) -> None:
    """Neither its text nor anything it drags along."""
    with pytest.raises(ConfigurationError) as caught:
        PgCheckpointer(db_url, redis_url=redis_url)
    shown = "".join(traceback.format_exception(None, caught.value, None))
    assert SECRET not in shown
    assert SECRET not in repr(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql+asyncpg", "postgresql", "postgres"])
@pytest.mark.parametrize("redis", ["redis", "rediss", "valkey", "valkeys"])
def test_schemes(scheme: str, redis: str) -> None:
    """The usual spellings are understood; a representation shows no password."""
    checkpointer = PgCheckpointer(
        f"{scheme}://u:{SECRET}@db.example:5432/x", f"{redis}://:{SECRET}@cache:6379/0"
    )
    assert "db.example" in repr(checkpointer)
    assert SECRET not in repr(checkpointer)
