"""What a step changed, of two states as the API shows them."""

from typing import Any

import pytest

from agentflow_api.console.tenant.threads.changes import MOST_CHANGES, Change, changes_between


def said(message_id: str, text: str) -> dict[str, Any]:
    return {"message_id": message_id, "role": "user", "content": [{"type": "text", "text": text}]}


def test_nothing_changed() -> None:
    state = {"context": [said("a", "hi")], "total": 3, "execution_meta": {"step": 1, "status": "running"}}
    later = {**state, "execution_meta": {"step": 2, "status": "running"}}
    assert changes_between(state, later).is_empty


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ({}, {"total": 1}, Change("total", "added", None, "1")),
        ({"total": 1}, {"total": None}, Change("total", "removed", "1", None)),
        ({"total": 1}, {"total": "1"}, Change("total", "changed", "1", '"1"')),
        ({"flag": 1}, {"flag": True}, Change("flag", "changed", "1", "true")),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, Change("a.b.c", "changed", "1", "2")),
        ({"stops": ["Oslo"]}, {"stops": ["Oslo", "Voss"]}, Change("stops[1]", "added", None, '"Voss"')),
        ({"stops": [1, 2]}, {"stops": [2]}, Change("stops", "changed", "[\n  1,\n  2\n]", "[\n  2\n]")),
    ],
)
def test_one_value(before: dict[str, Any], after: dict[str, Any], change: Change) -> None:
    assert changes_between(before, after).values == [change]


def test_messages_are_told_apart_by_their_ids() -> None:
    before = {"context": [said("a", "hi"), said("b", "there"), said("c", "gone")]}
    after = {"context": [said("a", "hi"), said("b", "THERE"), said("d", "new")]}
    found = changes_between(before, after)
    assert [one.message_id for one in found.added] == ["d"]
    assert [one.parts[0].text for one in found.edited] == ["THERE"]
    assert [one.message_id for one in found.removed] == ["c"]
    assert found.values == []


def test_messages_of_the_same_id_are_not_lost() -> None:
    """Clients may say "0" twice in what they put into a state."""
    found = changes_between({"context": [said("0", "x")]}, {"context": [said("0", "x"), said("0", "y")]})
    assert [one.parts[0].text for one in found.added] == ["y"]


def test_a_first_and_a_cleared_state() -> None:
    state = {"context": [said("a", "hi")], "total": 1}
    assert [one.path for one in changes_between(None, state).values] == ["total"]
    assert len(changes_between(state, None).removed) == 1


def test_a_huge_difference_is_cut() -> None:
    found = changes_between({}, {str(number): "x" * 10_000 for number in range(500)})
    assert len(found.values) == MOST_CHANGES
    assert found.more == 500 - MOST_CHANGES
    assert all(len(str(one.after)) < 2100 for one in found.values)


def test_a_deep_state_is_no_endless_way() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = {"in": deep}
    [change] = changes_between({"deep": {"in": 2}}, {"deep": deep}).values
    assert change.path.startswith("deep.in")
