"""What tenants keep, what a typed DELETE takes with it, and what was restored."""

from alembic import op

from agentflow_hosting.schema import hosting_statements
from agentflow_tenancy.schema import tenancy_statements

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    """Add the tenants' setting and the restores, and replace the function that deletes runs."""
    for statement in (*tenancy_statements(12), *hosting_statements(12)):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
