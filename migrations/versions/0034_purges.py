"""Purges take one call a batch, and both they and sweeps rest within it."""

from alembic import op

from agentflow_hosting.schema import hosting_statements
from agentflow_tenancy.schema import tenancy_statements

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    """Add the function that deletes a tenant's threads, and replace the one that sweeps."""
    for statement in (*tenancy_statements(13), *hosting_statements(16)):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
