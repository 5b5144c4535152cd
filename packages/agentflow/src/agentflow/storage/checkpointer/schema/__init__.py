"""The schema's files, numbered: one set for first-use creation and for controlled migrations.

`000N_*.sql` brings a database from version N-1 to N; `partition_000N.sql` are the leaves that version N
adds to a placement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Final

STANDALONE_PLACEMENT: Final = 0

_FILES: Final = {
    1: "0001_threads.sql",
    2: "0002_children.sql",
    3: "0003_hot_path.sql",
    4: "0004_tenants.sql",
    5: "0005_archives.sql",
}
_PARTITION_FILES: Final = {1: "partition_0001.sql", 2: "partition_0002.sql", 3: "partition_0003.sql"}

LATEST_VERSION: Final = max(_FILES)


def schema_statements(version: int, placements: Iterable[int]) -> Sequence[str]:
    """The statements that bring a database from `version - 1` to `version`, in order.

    They record the version too, so whoever runs them all, in one transaction, leaves a database
    that the library finds up to date.

    Args:
        version: The one to reach.
        placements: Those that the database has already; version 1 begins with `STANDALONE_PLACEMENT`.
    """
    statements = _statements(_FILES[version])
    for placement in placements if version > 1 else (STANDALONE_PLACEMENT,):
        statements += leaf_statements(placement, version)
    return statements


def partition_statements(placement: int, version: int = LATEST_VERSION) -> list[str]:
    """The statements that create the leaves of one placement. Names come from the number alone.

    Args:
        placement: Its number.
        version: Of the database's schema.

    Raises:
        ValueError: The number is negative.
    """
    if placement < 0:
        raise ValueError(f"a placement is 0 or more, not {placement}")
    return [
        statement
        for made_in in range(1, version + 1)
        for statement in leaf_statements(int(placement), made_in)
    ]


def leaf_statements(placement: int, version: int) -> list[str]:
    """The statements that create the leaves which `version` adds to one placement; [] if it adds none."""
    file = _PARTITION_FILES.get(version)
    statements = _statements(file) if file else []
    return [statement.replace("{placement}", str(placement)) for statement in statements]


def _statements(file: str) -> list[str]:
    text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
    return [statement.strip() for statement in text.split("--;\n") if statement.strip()]
