"""What runs did is kept for a while."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Make the table of traces."""
    for statement in hosting_statements(5):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
