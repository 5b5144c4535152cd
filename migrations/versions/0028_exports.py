"""Tenants take their threads with them, and bring them back."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Make the table of exports and imports."""
    for statement in tenancy_statements(11):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
