"""The named statements of this package's `.sql` files."""

import re
from dataclasses import dataclass
from importlib import resources
from typing import Final

from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql import asyncpg

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as the driver takes it.

    Attributes:
        text: With `$1`, `$2` and so on.
        names: Of its parameters, in that order.
        shows_tenant: Whether it says itself whose rows row level security shows, those of `tenant_id`.
    """

    text: str
    names: tuple[str, ...]
    shows_tenant: bool


def _parts(file: str) -> dict[str, str]:
    parts = _HEADER.split(resources.files(__package__).joinpath(file).read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _without_comments(body: str) -> str:
    return "\n".join(line for line in body.strip().splitlines() if not line.startswith("--"))


def _for_driver(body: str) -> Statement:
    own = _without_comments(body)
    reads = own.startswith("SELECT") and ":tenant_id" in own
    compiled = text(_behind_tenant(own) if reads else own).compile(
        dialect=asyncpg.dialect()  # type: ignore[no-untyped-call]  # theirs
    )
    shows = reads or own.startswith("WITH s AS MATERIALIZED")
    return Statement(str(compiled), tuple(compiled.positiontup or ()), shows)


def _behind_tenant(reading: str) -> str:
    """A reading statement that says whose rows it wants, in the same round trip.

    The setting's row is the outer side of a join with all that is read: OFFSET 0 keeps the planner from
    turning that around, so nothing is looked at before it is set. As the library's statements do.
    """
    return f"""WITH s AS MATERIALIZED (
    SELECT set_config('agentflow.tenants', '{{' || CAST(CAST(:tenant_id AS uuid) AS text) || '}}', true)
    AS tenants)
SELECT q.*
FROM s CROSS JOIN LATERAL (
    SELECT * FROM (
{reading}
    ) r
    WHERE s.tenants IS NOT NULL
    OFFSET 0
) q"""  # noqa: S608 - of named statements


_TEXTS: Final = _parts("queries.sql") | _parts("traces.sql") | _parts("retention.sql") | _parts("gauges.sql")
QUERIES: Final[dict[str, TextClause]] = {name: text(body) for name, body in _TEXTS.items()}
STATEMENTS: Final = {name: _for_driver(body) for name, body in _TEXTS.items()}
