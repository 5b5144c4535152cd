"""Roles, their rights, and row level security for everybody."""

from alembic import op

from agentflow_tenancy.schema import role_statements

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the roles if this server does not have them, and grant."""
    for statement in role_statements():
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
