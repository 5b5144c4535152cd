"""What the operator asks under a key is kept for a while too."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Let keys belong to the operator, who is no tenant."""
    for statement in hosting_statements(9):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
