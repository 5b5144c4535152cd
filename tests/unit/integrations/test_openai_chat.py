"""A context as an endpoint gets it: nothing it would refuse, nothing of the conversation lost."""

import base64
from typing import Any

import pytest

from agentflow.core.state import (
    AnnotationBlock,
    AudioBlock,
    ContentBlock,
    DataBlock,
    DocumentBlock,
    ErrorBlock,
    ImageBlock,
    MediaRef,
    Message,
    ReasoningBlock,
    RemoteToolCallBlock,
    TextBlock,
    ToolCallBlock,
    ToolResultBlock,
    VideoBlock,
)
from agentflow.integrations.openai_answer import mended, parse_arguments
from agentflow.integrations.openai_chat import to_chat
from agentflow.utils.constants import RAW_ARGUMENTS

DATA = base64.b64encode(b"bytes").decode()
INLINE = MediaRef(kind="data", data_base64=DATA)
AT_URL = MediaRef(url="https://host.example/a")
UPLOADED = MediaRef(kind="file_id", file_id="file-1")


def user(*blocks: ContentBlock) -> Message:
    return Message(role="user", content=list(blocks))


def said(*blocks: ContentBlock) -> Message:
    return Message(role="assistant", content=list(blocks))


def call(call_id: str, **args: Any) -> ToolCallBlock:
    return ToolCallBlock(id=call_id, name="tool", args=args)


def result(call_id: str, output: Any) -> Message:
    return Message.tool_message([ToolResultBlock(call_id=call_id, output=output)])


def shape(messages: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Role, and what matters: the calls' ids, or the id answered and the content, or the content."""
    return [
        (m["role"], [c["id"] for c in m["tool_calls"]])
        if "tool_calls" in m
        else (m["role"], m["tool_call_id"], m["content"])
        if m["role"] == "tool"
        else (m["role"], m["content"])
        for m in messages
    ]


# --- calls and results --------------------------------------------------------------------------


def test_results_follow_their_call() -> None:
    """In the order of the calls, whatever stood between; data as JSON text."""
    chat = to_chat(
        [
            said(call("a"), call("b")),
            Message.text_message("still there?"),
            result("b", {"ü": 1}),
            result("a", "one"),
        ]
    )
    assert shape(chat) == [
        ("assistant", ["a", "b"]),
        ("tool", "a", "one"),
        ("tool", "b", '{"ü": 1}'),
        ("user", "still there?"),
    ]


def test_results_of_calls_with_one_id_stay_apart() -> None:
    """Of one message: in their order. Of a later message: its own, and the older call gets a note."""
    twice = [said(call("a", n=1), call("a", n=2)), result("a", "one"), result("a", "two")]
    assert shape(to_chat(twice)) == [("assistant", ["a", "a"]), ("tool", "a", "one"), ("tool", "a", "two")]
    again = to_chat([said(call("a")), said(call("a")), result("a", "late")])
    assert [m["content"] for m in again if m["role"] == "tool"] == ["The tool gave no result.", "late"]


def test_a_call_without_a_result_gets_a_note_and_a_result_without_a_call_is_left_out() -> None:
    """An endpoint refuses either as it stands."""
    chat = to_chat([result("never", "x"), said(TextBlock(text="wait"), call("a"))])
    assert shape(chat) == [("assistant", ["a"]), ("tool", "a", "The tool gave no result.")]
    assert chat[0]["content"] == "wait"


def test_ids_may_repeat_from_turn_to_turn() -> None:
    """Some endpoints number the calls of each answer from 0: every call keeps its own result."""
    chat = to_chat(
        [said(call("0")), result("0", "first"), said(call("0")), result("0", "second"), said(call("0"))]
    )
    assert [m["content"] for m in chat if m["role"] == "tool"] == [
        "first",
        "second",
        "The tool gave no result.",
    ]


def test_a_call_handed_to_the_client_is_one_call() -> None:
    """The assistant's call and the remote one that asks the client for it."""
    asked = RemoteToolCallBlock(id="a", name="tool", args={})
    chat = to_chat([said(call("a")), Message.tool_message([asked]), result("a", "noon")])
    assert shape(chat) == [("assistant", ["a"]), ("tool", "a", "noon")]


def test_a_remote_call_that_no_model_made_is_shown_as_one() -> None:
    """As of a node that asks the client by itself."""
    asked = RemoteToolCallBlock(id="a", name="get_time", args={"tz": "UTC"})
    chat = to_chat([Message.tool_message([asked]), result("a", "noon")])
    assert shape(chat) == [("assistant", ["a"]), ("tool", "a", "noon")]
    assert chat[0]["tool_calls"][0]["function"] == {"name": "get_time", "arguments": '{"tz": "UTC"}'}


def test_arguments_that_were_no_json_go_back_as_they_came() -> None:
    """The model sees what it wrote."""
    chat = to_chat([said(ToolCallBlock(id="a", name="tool", args={RAW_ARGUMENTS: "{oops"}))])
    assert chat[0]["tool_calls"][0]["function"]["arguments"] == "{oops"


def test_an_assistant_that_said_nothing_is_left_out() -> None:
    """Reasoning and annotations do not go back to a model."""
    thought = said(ReasoningBlock(summary="hm"), AnnotationBlock())
    refused = said(ErrorBlock(message="I will not.", code="refusal"))
    assert shape(to_chat([thought, refused])) == [("assistant", "I will not.")]


# --- parts --------------------------------------------------------------------------------------


def test_text_alone_is_plain_text() -> None:
    """Blocks of it become lines; a system message is always text."""
    assert to_chat([user(TextBlock(text="a"), TextBlock(text="b"))]) == [{"role": "user", "content": "a\nb"}]
    system = Message(role="system", content=[TextBlock(text="be kind"), ImageBlock(media=AT_URL)])
    assert to_chat([system]) == [{"role": "system", "content": "be kind"}]


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (ImageBlock(media=AT_URL), {"type": "image_url", "image_url": {"url": AT_URL.url}}),
        (
            ImageBlock(media=INLINE.model_copy(update={"mime_type": "image/webp"})),
            {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{DATA}"}},
        ),
        (ImageBlock(media=UPLOADED), {"type": "file", "file": {"file_id": "file-1"}}),
        (
            AudioBlock(media=INLINE.model_copy(update={"mime_type": "audio/mpeg"})),
            {"type": "input_audio", "input_audio": {"data": DATA, "format": "mp3"}},
        ),
        (DocumentBlock(media=UPLOADED), {"type": "file", "file": {"file_id": "file-1"}}),
        (
            DocumentBlock(
                media=INLINE.model_copy(update={"mime_type": "application/pdf", "filename": "a.pdf"})
            ),
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{DATA}"},
            },
        ),
        (
            DataBlock(mime_type="image/gif", data_base64=DATA),
            {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{DATA}"}},
        ),
        (
            DataBlock(mime_type="application/zip", data_base64=DATA),
            {
                "type": "file",
                "file": {"filename": "data", "file_data": f"data:application/zip;base64,{DATA}"},
            },
        ),
    ],
)
def test_media_become_the_parts_the_protocol_has(block: ContentBlock, part: dict[str, Any]) -> None:
    """By address, by id or inline, beside the text."""
    [message] = to_chat([user(TextBlock(text="look"), block)])
    assert message["content"] == [{"type": "text", "text": "look"}, part]


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (DocumentBlock(media=INLINE, text="what it says"), "what it says"),
        (DocumentBlock(media=AT_URL), f"[document: {AT_URL.url}]"),
        (AudioBlock(media=AT_URL, transcript="hello"), "hello"),
        (AudioBlock(media=AT_URL), f"[audio: {AT_URL.url}]"),
        (VideoBlock(media=INLINE), "[video: not shown]"),
        (DataBlock(mime_type="text/csv", data_base64=DATA), "bytes"),
    ],
)
def test_what_the_protocol_cannot_carry_becomes_text(block: ContentBlock, text: str) -> None:
    """Its own text where it has some, else a note, so that the model knows of it."""
    assert to_chat([user(block)]) == [{"role": "user", "content": text}]


# --- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["{", "[1]", "3", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000, "9" * 9000]
)
def test_arguments_that_are_no_storable_object_are_kept_as_text(text: str) -> None:
    """Nothing that a model writes can keep a run from being stored."""
    assert parse_arguments(text) == {RAW_ARGUMENTS: text}


@pytest.mark.parametrize(("text", "arguments"), [("", {}), ("{}", {}), ('{"a": "ü"}', {"a": "ü"})])
def test_arguments_are_an_object(text: str, arguments: dict[str, Any]) -> None:
    """No text means none."""
    assert parse_arguments(text) == arguments


def test_halves_of_characters_are_joined_or_replaced() -> None:
    """Text without any comes back as it is."""
    assert mended("a\ud83d\ude00b\ud83d") == "a😀b\ufffd"
    whole = "Grüße 😀"
    assert mended(whole) is whole
