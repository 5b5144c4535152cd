"""A claim on an idempotency key does not outlive its tenant, however late it is committed."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    """Have the keys of tenants refer to them."""
    for statement in hosting_statements(15):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
