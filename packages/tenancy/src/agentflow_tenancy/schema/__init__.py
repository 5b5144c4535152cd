"""The control plane's tables, in numbered files that the migrations apply."""

from collections.abc import Sequence
from importlib import resources
from typing import Final

from agentflow.storage.checkpointer.types import FIRST_OWN_PLACEMENT

# Few are faster: each batch of writes opens every leaf it touches.
POOL_PLACEMENTS: Final = range(1, 9)

_FILES: Final = {
    1: "0001_tenants.sql",
    2: "0002_admin.sql",
    3: "0003_operations.sql",
    4: "0004_tokens.sql",
    5: "0005_token_rights.sql",
    6: "0006_many_partitions.sql",
    7: "0007_copies.sql",
    8: "0008_archives.sql",
    9: "0009_by_hand.sql",
    10: "0010_offboarding.sql",
    12: "0012_retention.sql",
    13: "0013_purges.sql",
    11: "0011_exports.sql",
}


def placement_kind(placement: int) -> str:
    """`dedicated` when it is one tenant's own, else `pool`."""
    return "dedicated" if placement >= FIRST_OWN_PLACEMENT else "pool"


def tenancy_statements(version: int) -> Sequence[str]:
    """The statements that bring the control plane from `version - 1` to `version`, in order."""
    return _statements(_FILES[version])


def role_statements() -> Sequence[str]:
    """The statements that make the roles of a deployment, where they are missing, with their rights."""
    return _statements("roles.sql")


def usage_statements() -> Sequence[str]:
    """The statements that make the usage tables, and the triggers that fill them."""
    return _statements("usage_0001.sql")


def _statements(file: str) -> Sequence[str]:
    text = resources.files(__name__).joinpath(file).read_text(encoding="utf-8")
    return [statement.strip() for statement in text.split("--;\n") if statement.strip()]
