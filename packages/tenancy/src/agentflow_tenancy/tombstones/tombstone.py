"""A tombstone, and the file of them: JSON Lines, one a line, in the order of their times.

    {"tenant_id": "...", "user_digest": null, "purged_at": "2026-03-01T12:00:00+00:00", "receipt_id": "..."}

`user_digest` is null for a tenant, else in hex: SHA-256 of the tenant's 16 bytes, `user:` and the user's id.
"""

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentflow_tenancy.errors import TenancyError

_DIGEST_BYTES: Final = 32


class BadTombstonesError(TenancyError):
    """A file of tombstones cannot be read: applying a part of it would let something come back."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Somebody who was deleted for good.

    Attributes:
        user_digest: None for the whole tenant.
        purged_at: What a user has made since may stay: they came back.
    """

    tenant_id: uuid.UUID
    user_digest: bytes | None
    purged_at: datetime
    receipt_id: uuid.UUID


def written(tombstones: Iterable[Tombstone]) -> str:
    """The text of a file."""
    return "".join(json.dumps(_as_data(one)) + "\n" for one in tombstones)


def read_tombstones(text: str) -> Sequence[Tombstone]:
    """The tombstones of a file's text; each one or none.

    Raises:
        BadTombstonesError: A line is none; its number. A file that was cut off ends without a line's end.
    """
    if text and not text.endswith("\n"):
        raise BadTombstonesError("The file of tombstones was cut off: its last line has no end.")
    return [_read(number, line) for number, line in enumerate(text.splitlines(), 1)]


def _as_data(one: Tombstone) -> dict[str, Any]:
    return {
        "tenant_id": str(one.tenant_id),
        "user_digest": None if one.user_digest is None else one.user_digest.hex(),
        "purged_at": one.purged_at.isoformat(),
        "receipt_id": str(one.receipt_id),
    }


def _read(number: int, line: str) -> Tombstone:
    try:
        data = json.loads(line)
        digest = None if data["user_digest"] is None else bytes.fromhex(data["user_digest"])
        purged_at = datetime.fromisoformat(data["purged_at"])
        if (digest is not None and len(digest) != _DIGEST_BYTES) or purged_at.tzinfo is None:
            raise ValueError
        return Tombstone(uuid.UUID(data["tenant_id"]), digest, purged_at, uuid.UUID(data["receipt_id"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTombstonesError(f"Line {number} of the file is no tombstone.") from error
