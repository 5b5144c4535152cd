"""A tombstone, and the file of them: JSON Lines, one a line, in the order of their receipts.

    {"tenant_id": "...", "user_digest": null, "purged_at": "2026-03-01T12:00:00+00:00", "receipt_id": "...",
     "receipt": {...}, "jws": "...", "key": {...}}

`user_digest` is null for a tenant, else in hex: SHA-256 of the tenant's 16 bytes, `user:` and the user's id.
`receipt` and `jws` are the receipt as it was handed out and `key` the public key that it verifies with: a
restored database gets them again, so that its chain goes on where it ended. A line may lack all three.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentflow_tenancy.errors import TenancyError
from agentflow_tenancy.offboarding.receipts import ReceiptError, as_file, canonical, verify

_DIGEST_BYTES: Final = 32


class BadTombstonesError(TenancyError):
    """A file of tombstones cannot be read: applying a part of it would let something come back."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A receipt that goes with a tombstone.

    Attributes:
        body: The canonical text that `jws` signs.
        key: The public half of what signed it, a JSON Web Key.
    """

    body: str
    jws: str
    key: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Somebody who was deleted for good.

    Attributes:
        user_digest: None for the whole tenant.
        purged_at: What a user has made since may stay: they came back.
        issued: Its receipt, where it is known.
    """

    tenant_id: uuid.UUID
    user_digest: bytes | None
    purged_at: datetime
    receipt_id: uuid.UUID
    issued: Issued | None = None


def written(tombstones: Iterable[Tombstone]) -> str:
    """The text of a file."""
    return "".join(json.dumps(_as_data(one)) + "\n" for one in tombstones)


def read_tombstones(text: str) -> Sequence[Tombstone]:
    """The tombstones of a file's text; each one or none. Of two lines of one receipt the later one counts.

    Raises:
        BadTombstonesError: A line is none, or its receipt does not verify; its number. A file that was cut
            off ends without a line's end.
    """
    if text and not text.endswith("\n"):
        raise BadTombstonesError("The file of tombstones was cut off: its last line has no end.")
    found: dict[uuid.UUID, Tombstone] = {}
    for number, line in enumerate(text.splitlines(), 1):
        one = _read(number, line)
        found.pop(one.receipt_id, None)
        found[one.receipt_id] = one
    return list(found.values())


def _as_data(one: Tombstone) -> dict[str, Any]:
    data = {
        "tenant_id": str(one.tenant_id),
        "user_digest": None if one.user_digest is None else one.user_digest.hex(),
        "purged_at": one.purged_at.isoformat(),
        "receipt_id": str(one.receipt_id),
    }
    if one.issued is not None:
        data |= as_file(one.issued.body, one.issued.jws) | {"key": dict(one.issued.key)}
    return data


def _read(number: int, line: str) -> Tombstone:
    try:
        data = json.loads(line)
        digest = None if data["user_digest"] is None else bytes.fromhex(data["user_digest"])
        purged_at = datetime.fromisoformat(data["purged_at"])
        if (digest is not None and len(digest) != _DIGEST_BYTES) or purged_at.tzinfo is None:
            raise ValueError
        receipt_id = uuid.UUID(data["receipt_id"])
        return Tombstone(uuid.UUID(data["tenant_id"]), digest, purged_at, receipt_id, _issued(data))
    except ReceiptError as error:
        raise BadTombstonesError(f"The receipt in line {number} of the file is none: {error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTombstonesError(f"Line {number} of the file is no tombstone.") from error


def _issued(data: Mapping[str, Any]) -> Issued | None:
    if "receipt" not in data:
        return None
    receipt = verify(data, {"keys": [data["key"]]})
    if (receipt["receipt_id"], receipt["tenant_id"]) != (data["receipt_id"], data["tenant_id"]):
        raise ReceiptError("it is another one's")
    return Issued(canonical(receipt), data["jws"], data["key"])
