"""The named statements of this package's `.sql` files."""

import re
from importlib import resources
from typing import Final

from sqlalchemy import TextClause, text

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def _named(file: str) -> dict[str, TextClause]:
    parts = _HEADER.split(resources.files(__package__).joinpath(file).read_text(encoding="utf-8"))
    return {name: text(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


QUERIES: Final = _named("queries.sql") | _named("offboarding/records.sql") | _named("exports/exports.sql")
USAGE_QUERIES: Final = _named("usage_queries.sql")
