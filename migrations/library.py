"""Bringing the checkpointer's own schema forward, also where the library has been there first."""

import re
from collections.abc import Iterable

from alembic import op
from sqlalchemy import text

from agentflow.storage.checkpointer.queries import QUERIES
from agentflow.storage.checkpointer.schema import leaf_statements, schema_statements

_CREATES = re.compile(r"CREATE TABLE (\w+)")


def upgrade_to(version: int) -> None:
    """Bring the schema to `version`; leaves that a library of that version did not know of are made too."""
    connection = op.get_bind()
    placements = list(connection.execute(text(QUERIES["placements"])).scalars())
    if connection.execute(text(QUERIES["schema_version"])).scalar_one() < version:
        _execute(schema_statements(version, placements))
        return
    for placement in placements:
        statements = leaf_statements(placement, version)
        if statements and not _exists(statements):
            _execute(statements)


def _exists(statements: list[str]) -> bool:
    names = [name for statement in statements for name in _CREATES.findall(statement)]
    found = text(
        "SELECT count(*) FROM pg_catalog.pg_class WHERE relname = ANY (:names) AND pg_table_is_visible(oid)"
    )
    return bool(op.get_bind().execute(found, {"names": names}).scalar_one())


def _execute(statements: Iterable[str]) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement)
