"""What tenants use is counted."""

from alembic import op

from agentflow_tenancy.schema import usage_statements

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the tables and the triggers that fill them."""
    for statement in usage_statements():
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
