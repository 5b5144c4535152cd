"""The named statements of the `.sql` files beside this one."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_PLACEMENT: Final = re.compile(r"((?:\w+\.)?placement) = \$1\b")
_FIRST: Final = re.compile(r"\$1\b")

# What sets the tenants that row level security shows, for statements that do not set them themselves.
SHOW_TENANTS: Final = "SELECT set_config('agentflow.tenants', $1, true)"

_ONE: Final = "'{' || $2::uuid::text || '}'"
_SEVERAL: Final = "$2::uuid[]::text"


def _parse(text: str) -> dict[str, str]:
    parts = _HEADER.split(text)[1:]
    bodies = zip(parts[::2], parts[1::2], strict=True)
    return {name: _without_comments(body) for name, body in bodies}


def _without_comments(body: str) -> str:
    """Comments are for whoever reads the file; the server need not parse them."""
    return "\n".join(line for line in body.strip().splitlines() if not line.startswith("--"))


def _file(name: str) -> dict[str, str]:
    return _parse(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


_FILES: Final = ("queries.sql", "search.sql", "langgraph.sql", "upkeep.sql")
QUERIES: Final = {name: text for file in _FILES for name, text in _file(file).items()}


@lru_cache(maxsize=65_536)
def located(name: str, at: tuple[int, ...]) -> str:
    """A statement for the placements that a tenant's threads may be in.

    `placement = $1` becomes their numbers. PostgreSQL then plans once for these leaves, whatever the number
    of others: with the number as a parameter a plan made once holds every leaf there is (4 ms at 1000), and
    one made for each call takes longer than the call.
    """
    places = ", ".join(str(int(placement)) for placement in at)
    condition = f"= {places}" if len(at) == 1 else f"IN ({places})"
    statement = QUERIES[name]
    text = _PLACEMENT.sub(rf"\1 {condition}", statement)
    if text != statement and not _FIRST.search(text):
        # The parameter must still be used somewhere.
        text = text.replace(condition, f"{condition} AND $1::int IS NOT NULL", 1)
    return text


def shows_tenants(name: str) -> bool:
    """Whether a statement sets by itself what row level security shows."""
    return QUERIES[name].startswith("WITH s AS MATERIALIZED")


def only_reads(name: str) -> bool:
    """Whether `behind_tenants` can serve a statement."""
    return QUERIES[name].startswith("SELECT")


@lru_cache(maxsize=65_536)
def behind_tenants(name: str, at: tuple[int, ...]) -> str:
    """A reading statement that sets what row level security shows, in the same round trip.

    The setting's row is the outer side of a join with all that is read: OFFSET 0 keeps the planner from
    turning that around, so nothing is looked at before it is set.
    """
    tenants = _SEVERAL if "$2::uuid[]" in QUERIES[name] else _ONE
    return f"""WITH s AS MATERIALIZED (SELECT set_config('agentflow.tenants', {tenants}, true) AS tenants)
SELECT q.*
FROM s CROSS JOIN LATERAL (
    SELECT * FROM (
{located(name, at)}
    ) r
    WHERE s.tenants IS NOT NULL
    OFFSET 0
) q"""  # noqa: S608 - of named statements and whole numbers
