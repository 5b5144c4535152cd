"""Tenants, their API keys, and the pool partitions they share."""

from alembic import op

from agentflow.storage.checkpointer.schema import partition_statements
from agentflow_tenancy.schema import POOL_PLACEMENTS, tenancy_statements

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables and the leaves."""
    for statement in tenancy_statements(1):
        op.get_bind().exec_driver_sql(statement)
    for placement in POOL_PLACEMENTS:
        for statement in partition_statements(placement, version=1):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
