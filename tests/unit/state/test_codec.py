"""What is stored is read back exactly, or refused with a typed error."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from agentflow.core.state import (
    AgentState,
    AnnotationRef,
    DataBlock,
    ImageBlock,
    MediaRef,
    Message,
    ReasoningBlock,
    RemoteToolCallBlock,
    TextBlock,
    TokenUsages,
    ToolCallBlock,
    ToolResultBlock,
)
from agentflow.core.state.codec import decode_message, decode_state, encode_fields, encode_message
from agentflow.errors import CorruptStateError, StateEncodingError
from agentflow.storage.checkpointer.types import BLOCKS, PLAIN_TEXT, StoredMessage
from agentflow.utils.jsontext import json_text

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])),
    metadata=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values, max_size=3),
    timestamp=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_a_text_message_comes_back_equal(
    text: str, metadata: dict[str, Any], timestamp: float | None
) -> None:
    """Any text, NUL and all planes included, any metadata, any time."""
    message = Message(role="user", content=[TextBlock(text=text)], metadata=metadata, timestamp=timestamp)
    assert decode_message(encode_message(message, 7)) == message


@pytest.mark.parametrize(
    "content",
    [
        [],
        [TextBlock(text="a"), TextBlock(text="b")],
        [TextBlock(text="a", annotations=[AnnotationRef(url="x", index=1)])],
        [ImageBlock(media=MediaRef(kind="data", data_base64="AA==", mime_type="image/png"), bbox=[0, 0.5])],
        [DataBlock(mime_type="application/x")],
        [ToolCallBlock(id="1", name="f", args={"n": 10**30, "deep": [[[1.5]]]})],
        [RemoteToolCallBlock(id="1", name="f")],
        [ToolResultBlock(call_id="1", output={"a": None}, is_error=True, status="failed")],
        [ReasoningBlock(summary="s", details=["d"])],
    ],
)
def test_blocks_come_back_equal(content: list[Any]) -> None:
    """Every kind of block, defaults left out of the row."""
    message = Message(role="assistant", content=content, usages=TokenUsages(total_tokens=3), raw={"k": [1]})
    row = encode_message(message, 0)
    assert row.content_kind == BLOCKS
    assert decode_message(row) == message


def test_plain_text_is_stored_as_it_is() -> None:
    """So that plain SQL finds it."""
    row = encode_message(Message.text_message("My name is Alex."), 0)
    assert (row.content_kind, row.content, row.extra) == (PLAIN_TEXT, "My name is Alex.", None)


def test_a_field_from_a_newer_client_is_kept() -> None:
    """Nothing that was sent is lost."""
    message = Message.model_validate(
        {"role": "user", "content": [{"type": "text", "text": "x", "lang": "en"}], "priority": 3}
    )
    back = decode_message(encode_message(message, 0))
    assert back == message
    assert back.model_dump()["priority"] == 3


@pytest.mark.parametrize("unset", [None, "", "0", 0])
def test_an_unset_id_is_assigned(unset: object) -> None:
    """Clients send "0" when they have no id; two such messages are two messages."""
    first, second = (
        Message.model_validate({"message_id": unset, "role": "user", "content": []}) for _ in "ab"
    )
    assert first.message_id != second.message_id
    assert len(first.message_id) == 32


class Inner(BaseModel):
    score: float = 0.0
    anything: Any = None


class Notes(AgentState):
    anything: Any = None
    inner: Inner = Field(default_factory=Inner)
    count: int = 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("anything", math.nan),
        ("anything", {"deep": [math.inf]}),
        ("anything", 10**200_000),
        ("anything", "\ud800"),
        ("anything", {"\udfff": 1}),
        ("anything", object()),
        ("inner", Inner(score=math.nan)),
    ],
    ids=["nan", "inf", "huge", "surrogate", "surrogate-key", "object", "nested-nan"],
)
def test_what_is_not_data_is_refused(field: str, value: object) -> None:
    """Never silently null, never half a character."""
    state = Notes()
    setattr(state, field, value)
    with pytest.raises(StateEncodingError):
        json_text(encode_fields(state), field="state")


def test_an_object_names_its_field() -> None:
    """The error says which field."""
    with pytest.raises(StateEncodingError, match="anything") as caught:
        encode_fields(Notes(anything=object()))
    assert caught.value.field == "anything"


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_big_integers_are_exact(value: int) -> None:
    """30 digits come back as they went."""
    fields = encode_fields(Notes(anything=value, count=value))
    assert decode_state(Notes, fields, []).anything == value


def test_a_row_that_was_tampered_with_is_refused() -> None:
    """Data is validated, and a constructor in it is only data."""
    for content in (
        '[{"type":"py/object:os.system"}]',
        "gASVIAAAAAAAAACMBX",
        '[{"type":"text"}]',
        "[" * 100_000,
    ):
        with pytest.raises(CorruptStateError):
            decode_message(StoredMessage(0, "m", "user", BLOCKS, content, None, 0.0))
    with pytest.raises(CorruptStateError):
        decode_state(Notes, {"count": {"__reduce__": ["os.system", "true"]}}, [])
