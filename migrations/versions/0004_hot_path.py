"""Tables as lean as the hot path wants them."""

from library import upgrade_to

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Drop the checks."""
    upgrade_to(3)


def downgrade() -> None:
    """Not offered: restore a backup instead of losing data."""
    raise NotImplementedError("restore a backup")
