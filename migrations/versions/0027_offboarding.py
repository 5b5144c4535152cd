"""Tenants that leave, receipts, and what must never come back."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Make the tables."""
    for statement in tenancy_statements(10):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
