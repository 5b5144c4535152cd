"""Moves of tenants, as records."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the table and the sequence of partition numbers."""
    for statement in tenancy_statements(3):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
