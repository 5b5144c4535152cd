"""Sweeps delete from leaves, and count by themselves what went."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Replace the function that sweeps."""
    for statement in hosting_statements(17):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
