"""Triggers that touch one leaf, and what tenants keep added up."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Replace the functions, make the table and fill it."""
    for statement in tenancy_statements(6):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
