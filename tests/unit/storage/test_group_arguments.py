"""A group's texts travel joined: whatever they hold, they come apart as they were."""

from hypothesis import given
from hypothesis import strategies as st

from agentflow.storage.checkpointer.group_arguments import joined

TEXTS = st.text(st.sampled_from("ab\x1fé0"), max_size=6)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=6))
def test_texts_come_apart(first: list[str], second: list[str]) -> None:
    """Also those that hold the usual separator."""
    separator, texts = joined(first, second)
    for column, text in zip((first, second), texts, strict=True):
        assert not column or text.split(separator) == column


def test_the_usual_separator_is_short() -> None:
    """One character, which JSON never holds."""
    assert joined(["a", "b"], [])[1] == ["a\x1fb", ""]
