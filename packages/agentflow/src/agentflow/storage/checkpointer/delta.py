"""What one step changed in the fields of a state, as data.

A patch is a JSON object of up to three lists: `s` sets [path, value], `a` appends [path, items]
to a list, `u` unsets path. A path is a list of dict keys. Dicts are compared key by key, a list
that only grew is an append, anything else that differs is set whole. So a step's cost follows
what it changed, not what the state holds.
"""

from __future__ import annotations

from typing import Any

Json = Any  # dict[str, Json] | list[Json] | str | int | float | bool | None, without NaN or infinities
Fields = dict[str, Json]
Patch = dict[str, list[Any]]


def diff(old: Fields, new: Fields) -> Patch:
    """The patch that turns `old` into `new`; empty when nothing changed.

    Cost: O(size of both), without encoding anything.
    """
    patch: Patch = {}
    _diff_dict(old, new, [], patch)
    return patch


def apply(old: Fields, patch: Patch) -> Fields:
    """`old` with the patch applied; `old` itself is not changed.

    Raises:
        KeyError, TypeError, ValueError, IndexError: The patch was not made from these fields.
    """
    result: Fields = dict(old)
    owned: set[int] = {id(result)}
    for path, value in patch.get("s", ()):
        _parent(result, path, owned)[path[-1]] = value
    for path, items in patch.get("a", ()):
        parent = _parent(result, path, owned)
        parent[path[-1]] = [*parent[path[-1]], *items]
    for path in patch.get("u", ()):
        del _parent(result, path, owned)[path[-1]]
    return result


def _diff_dict(old: Fields, new: Fields, path: list[str], patch: Patch) -> None:
    for key, value in new.items():
        if key not in old:
            patch.setdefault("s", []).append([[*path, key], value])
        elif old[key] is not value:
            _diff_value(old[key], value, [*path, key], patch)
    for key in old:
        if key not in new:
            patch.setdefault("u", []).append([*path, key])


def _diff_value(old: Json, new: Json, path: list[str], patch: Patch) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        _diff_dict(old, new, path, patch)
    elif isinstance(old, list) and isinstance(new, list) and _grew(old, new):
        patch.setdefault("a", []).append([path, new[len(old) :]])
    elif not same(old, new):
        patch.setdefault("s", []).append([path, new])


def _grew(old: list[Json], new: list[Json]) -> bool:
    return len(new) > len(old) and same(old, new[: len(old)])


def same(old: Json, new: Json) -> bool:
    """Equality that tells 1 from True and 1.0, at any depth, since JSON does."""
    if type(old) is not type(new):
        return False
    if isinstance(old, dict):
        # Key order too: a dict comes back in the order in which it was stored.
        return list(old) == list(new) and all(same(value, new[key]) for key, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(map(same, old, new))
    if isinstance(old, float):
        return repr(old) == repr(new)  # -0.0 is not 0.0
    return bool(old == new)


def _parent(root: Fields, path: list[str], owned: set[int]) -> Fields:
    """The dict that holds the last key of the path, copied on the way down once per patch."""
    node = root
    for key in path[:-1]:
        child = node[key]
        if id(child) not in owned:
            child = dict(child)
            owned.add(id(child))
            node[key] = child
        node = child
    return node
