"""The log of messages behind a context."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.core.state import Message
from agentflow.core.state.context_log import change_context

POOL = [Message.text_message(f"m{i}", message_id=f"id{i}") for i in range(12)]
EDITS = [Message.text_message(f"m{i} edited", message_id=f"id{i}") for i in range(12)]
contexts = st.lists(st.sampled_from(POOL + EDITS), max_size=14)


@given(st.lists(contexts, min_size=1, max_size=8))
def test_replaying_the_changes_gives_every_context(history: list[list[Message]]) -> None:
    """Rows added and removed, replayed by position, are the context; positions ascend and are unique."""
    entries: list[tuple[int, Message]] = []
    next_pos = 0
    alive: dict[int, Message] = {}
    for context in history:
        change = change_context(entries, next_pos, context)
        for pos in change.removed:
            del alive[pos]
        for pos, message in change.added:
            assert pos not in alive
            alive[pos] = message
        assert [alive[pos] for pos in sorted(alive)] == context
        assert change.entries == sorted(alive.items(), key=lambda entry: entry[0])
        assert change.next_pos >= max(alive, default=-1) + 1
        assert change.next_pos >= next_pos
        entries, next_pos = change.entries, change.next_pos


def test_appending_adds_only_what_is_new() -> None:
    """An append never touches the rows before it."""
    start = change_context([], 0, POOL[:5])
    change = change_context(start.entries, start.next_pos, POOL[:7])
    assert change.added == [(5, POOL[5]), (6, POOL[6])]
    assert change.removed == []


def test_an_edit_takes_the_place_of_the_message_before() -> None:
    """One row leaves, one joins at the same position, the neighbours stay."""
    start = change_context([], 0, POOL[:5])
    change = change_context(start.entries, start.next_pos, [*POOL[:2], EDITS[2], *POOL[3:5]])
    assert change.added == [(2, EDITS[2])]
    assert change.removed == [2]


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (1, 1.0), (0.0, -0.0), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_an_edit_that_python_takes_for_the_same(before: object, after: object) -> None:
    """JSON tells 1 from True and 1.0, so history does."""
    old, new = (POOL[0].model_copy(update={"metadata": {"n": value}}) for value in (before, after))
    start = change_context([], 0, [old])
    change = change_context(start.entries, start.next_pos, [new])
    assert (change.removed, len(change.added)) == ([0], 1)
    assert change.added[0][1] is new
    same = old.model_copy(deep=True)
    assert same == old
    assert change_context(start.entries, start.next_pos, [same]).added == []


def test_trimming_removes_rows_and_adds_none() -> None:
    """Dropping old messages writes no message again."""
    start = change_context([], 0, POOL[:8])
    change = change_context(start.entries, start.next_pos, POOL[5:8])
    assert change.added == []
    assert change.removed == [0, 1, 2, 3, 4]


def test_a_summary_in_front_takes_a_freed_place() -> None:
    """Replacing the start by one message leaves the tail's rows alone."""
    start = change_context([], 0, POOL[:8])
    change = change_context(start.entries, start.next_pos, [POOL[11], *POOL[6:8]])
    assert [pos for pos, _ in change.entries] == [0, 6, 7]
    assert change.added == [(0, POOL[11])]
