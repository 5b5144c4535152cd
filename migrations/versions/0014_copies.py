"""Copies of threads are kept, and were not run."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0014"
down_revision = "0012"


def upgrade() -> None:
    """Replace the functions that count."""
    for statement in tenancy_statements(7):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
