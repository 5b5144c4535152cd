"""Forks by hand are no runs, and messages by hand spent no tokens."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """Replace the functions that count."""
    for statement in tenancy_statements(9):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
