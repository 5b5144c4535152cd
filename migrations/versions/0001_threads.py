"""Threads, checkpoints, messages: the checkpointer's own schema, from its own files.

A database that a checkpointer made by first use is adopted as it is.
"""

from alembic import op
from sqlalchemy import text

from agentflow.storage.checkpointer.schema import schema_statements

revision = "0001"
down_revision = None

EXISTS = text("SELECT to_regclass('agentflow_schema') IS NOT NULL")


def upgrade() -> None:
    """Make the tables unless they are there."""
    if op.get_bind().execute(EXISTS).scalar_one():
        return
    for statement in schema_statements(1):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
