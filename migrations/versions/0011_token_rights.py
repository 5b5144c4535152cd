"""What ends tokens, and what those of other issuers may do."""

from alembic import op

from agentflow_tenancy.schema import tenancy_statements

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns."""
    for statement in tenancy_statements(5):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
