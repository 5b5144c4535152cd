"""The tool ledger, and writes that wait for their checkpoint."""

from library import upgrade_to

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables and their leaves."""
    upgrade_to(2)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
