"""The schema's files, numbered: one set for first-use creation and for controlled migrations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Final

LATEST_VERSION: Final = 1
STANDALONE_PLACEMENT: Final = 0

_FILES: Final = {1: "0001_threads.sql"}


def schema_statements(version: int) -> Sequence[str]:
    """The statements that bring a database from `version - 1` to `version`, in order.

    They record the version too, so whoever runs them all, in one transaction, leaves a database
    that the library finds up to date.
    """
    statements = _statements(_FILES[version])
    if version == 1:
        statements += partition_statements(STANDALONE_PLACEMENT)
    return statements


def partition_statements(placement: int) -> list[str]:
    """The statements that create the leaves of one placement. Names come from the number alone.

    Raises:
        ValueError: The number is negative.
    """
    if placement < 0:
        raise ValueError(f"a placement is 0 or more, not {placement}")
    return [
        statement.replace("{placement}", str(int(placement))) for statement in _statements("partition.sql")
    ]


def _statements(file: str) -> list[str]:
    text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
    return [statement.strip() for statement in text.split("--;\n") if statement.strip()]
