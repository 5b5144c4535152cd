"""Values as people read them on a terminal; a pipe gets them as the service gave them."""

from datetime import UTC, datetime
from typing import Any, Final

from agentflow_cloud.terminal.text import shown

_UNITS: Final = ("B", "KB", "MB", "GB", "TB")
_STYLES: Final = (
    ("green", ("active", "done", "ok", "purged", "completed", "idle", "success")),
    ("yellow", ("queued", "running", "degraded", "grace", "suspended", "warning", "interrupted", "rotated")),
    ("red", ("failed", "error", "cancelled", "offboarding", "revoked", "expired")),
)
_STATES: Final = {word: style for style, words in _STYLES for word in words}


def readable(name: str, value: Any) -> str:
    """Sizes in units, times to the second of UTC; anything else as it is.

    Args:
        name: The field's: its ending says what the value is.
        value: Of the field.
    """
    if isinstance(value, int) and (name == "bytes" or name.endswith("_bytes")):
        return size(value)
    if isinstance(value, str) and (name in ("at", "start", "from", "to") or name.endswith(("_at", "_until"))):
        return _time(value)
    return shown(value)


def size(size_bytes: int) -> str:
    """A number of bytes with its unit."""
    number: float = size_bytes
    for unit in _UNITS[:-1]:
        if abs(number) < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} {_UNITS[-1]}"


def style_of(name: str, value: Any) -> str:
    """The colour of a state; what it says is said by its word too."""
    is_state = name in ("state", "status", "level") and isinstance(value, str)
    return _STATES.get(value, "") if is_state else ""


def _time(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except ValueError:
        return shown(text)
