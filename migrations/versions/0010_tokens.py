"""Signing keys and issuers of tokens."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the tables."""
    for statement in tenancy_statements(4):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
