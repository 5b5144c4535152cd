"""Sweeps take one call a batch, and a run that begins meanwhile stays."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Replace the function that deletes runs, and add the one that sweeps."""
    for statement in hosting_statements(14):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
