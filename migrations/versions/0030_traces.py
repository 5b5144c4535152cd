"""Waiting runs keep their trace, and what runs did is kept by the day."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Add the column, and put the stored traces into days."""
    for statement in hosting_statements(13):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
