"""Row level security, and where tenants that moved are."""

from library import upgrade_to

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table and the policies."""
    upgrade_to(4)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
