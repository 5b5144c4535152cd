"""With a thread go its runs, in the same transaction."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    """Have the database do it."""
    for statement in hosting_statements(10):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
