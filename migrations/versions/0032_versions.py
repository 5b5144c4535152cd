"""The services may read which migrations were applied: the console's health page says so."""

from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Let both of the services' roles read the migrations' own table."""
    op.execute("GRANT SELECT ON alembic_version TO agentflow_app, agentflow_operator")


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
