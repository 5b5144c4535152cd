"""What a step changed: one state beside another."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from agentflow_api.console.tenant.threads.messages import Said, said_of

type Kind = Literal["added", "removed", "changed"]
MOST_CHANGES: Final = 100
_MOST_TEXT: Final = 2000
_MOST_DEPTH: Final = 6
# What every step changes of itself, and says elsewhere on the page.
_BOOKKEEPING: Final = frozenset({"step", "current_node", "internal_data", "thread_id"})


@dataclass(frozen=True, slots=True)
class Change:
    """A value that is another, there or gone. `before` and `after` are JSON, cut; None if not there."""

    path: str
    kind: Kind
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """All that differs between two states.

    Attributes:
        values: Of fields, at most `MOST_CHANGES`.
        more: How many more there are.
        added: Messages that are new.
        edited: Messages that say something else than before, as they are now.
        removed: Messages that are gone.
    """

    values: list[Change]
    more: int
    added: list[Said]
    edited: list[Said]
    removed: list[Said]

    @property
    def is_empty(self) -> bool:
        """Nothing differs."""
        return not (self.values or self.added or self.edited or self.removed)


def changes_between(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> Changes:
    """What leads from one state, as the API shows it, to another; None is a thread without one."""
    old, new = before or {}, after or {}
    found = list(_fields(_shown(old), _shown(new)))
    was, now = _by_id(old), _by_id(new)
    return Changes(
        values=found[:MOST_CHANGES],
        more=max(0, len(found) - MOST_CHANGES),
        added=[said_of(one) for key, one in now.items() if key not in was],
        edited=[said_of(one) for key, one in now.items() if key in was and was[key] != one],
        removed=[said_of(one) for key, one in was.items() if key not in now],
    )


def json_text(value: Any, *, most: int = _MOST_TEXT) -> str:
    """A value as JSON, cut behind so many characters."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def _shown(state: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that are worth a line: messages have their own place."""
    fields = {name: value for name, value in state.items() if name != "context"}
    meta = fields.get("execution_meta")
    if isinstance(meta, Mapping):
        kept = {name: value for name, value in meta.items() if name not in _BOOKKEEPING}
        fields["execution_meta"] = kept
    return fields


def _fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in (*new, *(name for name in old if name not in new)):
        # Null and absent are the same to who reads a state.
        yield from _between(str(name), old.get(name), new.get(name), 1)


def _between(path: str, old: Any, new: Any, depth: int) -> Iterator[Change]:
    if old == new and type(old) is type(new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping) and depth < _MOST_DEPTH:
        for name in (*new, *(name for name in old if name not in new)):
            yield from _between(f"{path}.{name}", old.get(name), new.get(name), depth + 1)
    elif isinstance(old, list) and isinstance(new, list) and old == new[: len(old)]:
        for place in range(len(old), len(new)):
            yield Change(f"{path}[{place}]", "added", None, json_text(new[place]))
    elif old is None:
        yield Change(path, "added", None, json_text(new))
    elif new is None:
        yield Change(path, "removed", json_text(old), None)
    else:
        yield Change(path, "changed", json_text(old), json_text(new))


def _by_id(state: Mapping[str, Any]) -> dict[tuple[str, int], Mapping[str, Any]]:
    """Messages by their ids; those that share one are told apart by which of them they are."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    seen: dict[str, int] = {}
    for one in state.get("context") or ():
        name = str(one.get("message_id"))
        seen[name] = seen.get(name, 0) + 1
        found[name, seen[name]] = one
    return found
