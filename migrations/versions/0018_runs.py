"""Runs are records, and what they said is kept for a while."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0018"
down_revision = "0014"


def upgrade() -> None:
    """Make the tables of runs and their chunks."""
    for statement in hosting_statements(1):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
