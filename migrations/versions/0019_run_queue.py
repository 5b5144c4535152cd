"""The queue that wakes workers: tickets for runs, and for addresses to tell of their end."""

from alembic import op

from agentflow_hosting.schema import hosting_statements

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make PgQueuer's tables, and have runs put their tickets in."""
    for version in (3, 4):
        for statement in hosting_statements(version):
            op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
