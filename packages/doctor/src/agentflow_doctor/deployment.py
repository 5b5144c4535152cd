"""Where a deployment is, and how large."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Deployment:
    """Addresses and sizes.

    Attributes:
        operations_url: Postgres by the login that migrates.
        app_url: Postgres by the API's login; None when it is not known.
        redis_url, quota_redis_url: None for none.
        connections: Most that the API and the workers open together.
        tombstones: The file that the worker keeps them in; None for none.
    """

    operations_url: str = field(repr=False)
    app_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    quota_redis_url: str | None = field(repr=False)
    connections: int
    tombstones: Path | None = None


def connections_of(*, pool: int, replicas: int, workers: int) -> int:
    """Each API process opens its pool and half of it more; each worker one for runs, and 24 for the rest."""
    return replicas * workers * (pool + pool // 2) + replicas * (pool + 24)


def migrations_of(folders: list[Path]) -> Path | None:
    """The migrations' own settings: of the first of these folders that has some."""
    found = (folder / "migrations" / "alembic.ini" for folder in folders)
    return next((path for path in found if path.is_file()), None)
