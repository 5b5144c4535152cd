"""Patches: whatever changed, applying the difference gives exactly the new fields."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentflow.storage.checkpointer.delta import apply, diff
from agentflow.utils.jsontext import json_text

KEYS = st.sampled_from(["a", "b", "", "\0", "é", "s", "u"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.dictionaries(KEYS, VALUES, max_size=5)


def text(value: Any) -> str:
    return json_text(value, field="f")


def ordered_alike(old: Any, new: Any) -> bool:
    """Whether both say the same but for the order of keys, which a patch key by key may change."""
    return text(_sorted(old)) == text(_sorted(new))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


@given(FIELDS, FIELDS)
def test_a_patch_leads_from_old_to_new(old: dict[str, Any], new: dict[str, Any]) -> None:
    before = copy.deepcopy(old)
    result = apply(old, diff(old, new))
    assert ordered_alike(result, new)
    assert text(old) == text(before), "the old fields were changed"


@given(st.lists(FIELDS, min_size=1, max_size=6))
def test_patches_fold(states: list[dict[str, Any]]) -> None:
    folded: dict[str, Any] = {}
    before: dict[str, Any] = {}
    for state in states:
        folded = apply(folded, diff(before, state))
        before = state
    assert ordered_alike(folded, states[-1])


@given(FIELDS)
def test_nothing_changed_is_an_empty_patch(fields: dict[str, Any]) -> None:
    assert diff(fields, copy.deepcopy(fields)) == {}


@given(st.lists(LEAVES, max_size=30), st.lists(LEAVES, min_size=1, max_size=3))
def test_a_list_that_grew_costs_what_it_grew_by(old: list[Any], more: list[Any]) -> None:
    assert diff({"log": old}, {"log": [*old, *more]}) == {"a": [[["log"], more]]}


def test_kinds_of_numbers_are_told_apart() -> None:
    """1, 1.0, True, 0.0 and -0.0 are five values, at any depth."""
    values = [1, 1.0, True, 0.0, -0.0, "1", None]
    for old in values:
        for new in values:
            changed = repr(old) != repr(new)
            assert bool(diff({"x": [{"y": old}]}, {"x": [{"y": new}]})) is changed
