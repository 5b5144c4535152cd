"""Keys in the form clients read."""

from datetime import UTC, datetime
from typing import Any

from agentflow_tenancy import KeyInfo


def key_view(key: KeyInfo) -> dict[str, Any]:
    """A key without its secret."""
    return {
        "key_id": key.key_id,
        "prefix": f"af_live_{key.key_id}",
        "name": key.name,
        "scopes": list(key.scopes),
        "state": _state(key),
        "created_at": _time(key.created_at),
        "created_by": key.created_by,
        "expires_at": _time(key.expires_at),
        "revoked_at": _time(key.revoked_at),
        "last_used_at": _time(key.last_used_at),
        "replaced_by": key.replaced_by,
        "limits": key.limits.as_json(),
    }


def _state(key: KeyInfo) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return "expired"
    return "active" if key.replaced_by is None else "rotated"


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
