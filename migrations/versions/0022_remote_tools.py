"""Tools of tenants that run at their clients."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Make the table of remote tools."""
    for statement in hosting_statements(8):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
