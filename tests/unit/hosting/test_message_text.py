"""Messages put together as text are what they would be as data."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.core.state import Message, ToolResultBlock
from agentflow.core.state.codec import encode_message
from agentflow.storage.checkpointer.thread_memory import SharedContext
from agentflow_hosting.message_text import message_text, messages_text
from agentflow_hosting.views import message_view

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, TEXT.filter(bool), st.sampled_from(["user", "assistant", "system", "tool"]), st.floats(0, 1e13))
def test_a_text(text: str, message_id: str, role: Any, sent_at: float) -> None:
    """Whatever its characters, its id and its time."""
    message = Message.text_message(text, role, message_id).model_copy(update={"timestamp": sent_at})
    assert json.loads(message_text(encode_message(message, 0))) == message_view(message)


@pytest.mark.parametrize(
    "more",
    [
        {"timestamp": None},
        {"metadata": {"a": [1]}},
        {"reasoning": "because"},
        {"content": [ToolResultBlock(call_id="c", output={"x": 1.5})]},
        {"content": []},
        {"content": [*Message.text_message("a").content, *Message.text_message("b\0").content]},
    ],
)
def test_anything_else(more: dict[str, Any]) -> None:
    """Is as complete as ever."""
    message = Message.text_message("hello").model_copy(update=more)
    assert json.loads(message_text(encode_message(message, 0))) == message_view(message)


def test_several() -> None:
    """Are an array, also when there are none."""
    rows = [encode_message(Message.text_message(text), place) for place, text in enumerate("ab")]
    assert [message["content"][0]["text"] for message in json.loads(messages_text(rows))] == ["a", "b"]
    assert messages_text([]) == "[]"


def test_a_context_that_many_read() -> None:
    """Is put together once; another version of it, or a part of it, anew."""
    rows = [encode_message(Message.text_message(text), place) for place, text in enumerate("ab")]
    context = SharedContext(rows)
    assert messages_text(context) is messages_text(context)
    assert messages_text(context) == messages_text(rows)
    assert messages_text(context[1:]) == messages_text(rows[1:])
    assert messages_text(SharedContext(rows[:1])) == messages_text(rows[:1])
