"""What must never come back, kept outside of the database, and applied to one that was restored."""

from agentflow_tenancy.tombstones.file import TombstoneFile
from agentflow_tenancy.tombstones.repository import TombstoneRepository
from agentflow_tenancy.tombstones.tombstone import BadTombstonesError, Tombstone, read_tombstones, written

__all__ = [
    "BadTombstonesError",
    "Tombstone",
    "TombstoneFile",
    "TombstoneRepository",
    "read_tombstones",
    "written",
]
