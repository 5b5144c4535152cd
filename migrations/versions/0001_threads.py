"""Threads, checkpoints, messages: the checkpointer's own schema, from its own files.

A database that a checkpointer made by first use is adopted as it is.
"""

from alembic import op
from sqlalchemy import text

from agentflow.storage.checkpointer.schema import schema_statements

revision = "0001"
down_revision = None

# From the catalog's table: a look-up by name may be answered from a cache older than the migrator's lock.
EXISTS = text(
    "SELECT count(*) > 0 FROM pg_catalog.pg_class"
    " WHERE relname = 'agentflow_schema' AND pg_table_is_visible(oid)"
)


def upgrade() -> None:
    """Make the tables unless they are there."""
    if op.get_bind().execute(EXISTS).scalar_one():
        return
    for statement in schema_statements(1, ()):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
