"""The named statements of `queries.sql`."""

import re
from importlib import resources
from typing import Final

from sqlalchemy import TextClause, text

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PARTS: Final = _HEADER.split(
    resources.files(__package__).joinpath("queries.sql").read_text(encoding="utf-8")
)
QUERIES: Final[dict[str, TextClause]] = {
    name: text(body) for name, body in zip(_PARTS[1::2], _PARTS[2::2], strict=True)
}
