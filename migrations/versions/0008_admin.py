"""Plans, limits and retention of tenants, limits of keys, and the audit log."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns and the table."""
    for statement in tenancy_statements(2):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
