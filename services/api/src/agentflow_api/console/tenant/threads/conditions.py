"""What threads are looked for by, out of an address's query."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

PAGE: Final = 25
STATUSES: Final = {
    "running": "busy",
    "interrupted": "waiting for an answer",
    "error": "ended in an error",
    "idle": "idle",
}
SORTS: Final = {
    "-updated_at": "Last changed first",
    "updated_at": "First changed first",
    "-created_at": "Newest first",
    "created_at": "Oldest first",
    "thread_id": "By id",
}
_FIELDS: Final = ("text", "name", "user", "metadata", "since", "status", "sort")


class ConditionError(Exception):
    """A condition that cannot be read; the message says how it is written.

    Attributes:
        name: Of its field.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Conditions:
    """As they were typed, so that the form shows them again."""

    text: str = ""
    name: str = ""
    user: str = ""
    metadata: str = ""
    since: str = ""
    status: str = ""
    sort: str = "-updated_at"

    @property
    def is_any(self) -> bool:
        """Whether every thread meets them."""
        return not (self.text or self.name or self.user or self.metadata or self.since or self.status)

    @property
    def day(self) -> str:
        """`since` as a field for dates takes it; nothing if that is no day."""
        try:
            return date.fromisoformat(self.since).isoformat()
        except ValueError:
            return ""

    def asked(self, cursor: str | None) -> dict[str, Any]:
        """The body of a search.

        Raises:
            ConditionError: `metadata` is neither `key=value` nor an object, or `since` no day.
        """
        found = {
            "text": self.text,
            "thread_name": self.name,
            "user_id": self.user,
            "metadata": _metadata(self.metadata),
            "updated_after": _midnight(self.since),
            "status": self.status,
            "cursor": cursor,
        }
        return {
            **{name: value for name, value in found.items() if value},
            "sort": self.sort,
            "limit": PAGE,
        }

    def address(self, cursor: str | None = None) -> str:
        """The page of these conditions, or the one behind a cursor."""
        said = {name: getattr(self, name) for name in _FIELDS}
        default = Conditions()
        kept = {name: value for name, value in said.items() if value != getattr(default, name)}
        if cursor:
            kept["cursor"] = cursor
        return "/console/threads" + (f"?{urlencode(kept)}" if kept else "")


def conditions_in(query: Mapping[str, str]) -> Conditions:
    """The conditions of an address; an unknown order is the usual one, an unknown state any."""
    said = {name: query.get(name, "").strip() for name in _FIELDS}
    if said["sort"] not in SORTS:
        said["sort"] = "-updated_at"
    if said["status"] not in STATUSES:
        said["status"] = ""
    return Conditions(**said)


def _midnight(text: str) -> str | None:
    """When a day begins, in UTC as all times of the console."""
    if not text:
        return None
    try:
        return f"{date.fromisoformat(text).isoformat()}T00:00:00Z"
    except ValueError:
        raise ConditionError("since", "Write the day as 2026-03-01.") from None


def _metadata(text: str) -> dict[str, Any] | None:
    if not text:
        return None
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            raise ConditionError(
                "metadata", 'Metadata is no JSON object; write key=value, or {"key": 1}.'
            ) from None
        return dict(found)
    key, equals, value = text.partition("=")
    if not (key.strip() and equals):
        raise ConditionError("metadata", 'Write metadata as key=value, or as JSON: {"key": 1}.')
    return {key.strip(): value.strip()}
