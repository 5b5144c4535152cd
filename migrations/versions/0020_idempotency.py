"""What was asked and answered under a key is kept for a while."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Make the table of keys."""
    for statement in hosting_statements(2):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
