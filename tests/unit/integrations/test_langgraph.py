"""The LangGraph saver's parts without a database: messages as rows, values as data, what may follow what."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agentflow.errors import ConfigurationError, CorruptStateError, InvalidIdError, InvalidInputError
from agentflow.integrations.langgraph import AgentFlowSaver
from agentflow.integrations.langgraph.ids import address_of, uuid_of
from agentflow.integrations.langgraph.messages import decode, encode, is_message_list, rows_for
from agentflow.integrations.langgraph.seen import Seen
from agentflow.integrations.langgraph.values import Values, strict_serde
from agentflow.integrations.langgraph.writing import Put, may_follow
from agentflow.storage.checkpointer import PgCheckpointer
from agentflow.storage.checkpointer.types import BLOCKS, PLAIN_TEXT

VALUES = Values(strict_serde())
URL = "postgresql+asyncpg://nobody@localhost:1/nothing"

MESSAGES: list[AnyMessage] = [
    HumanMessage("plain", id="1"),
    HumanMessage("", id=""),
    HumanMessage("a\0b"),
    HumanMessage([{"type": "text", "text": "a"}, "b"], id="2", name="Alex"),
    SystemMessage("be brief", id="3", additional_kwargs={"x": [1, 1.0, True, None, {"y": "é"}]}),
    AIMessage(
        "calls",
        tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model": "m"},
    ),
    AIMessage("raw", additional_kwargs={"bytes": b"\0\xff"}),
    ToolMessage("done", tool_call_id="c", artifact={"rows": [[1]]}, status="error"),
    AIMessageChunk(content="part", id="4"),
    ChatMessage(content="said", role="narrator"),
    FunctionMessage(content="old", name="f"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.type)
def test_each_message_comes_back_exactly(message: AnyMessage) -> None:
    back = decode(encode(message, VALUES), VALUES)
    assert type(back) is type(message)
    assert back.model_dump() == message.model_dump()


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])), extra=st.dictionaries(st.text(), st.integers())
)
def test_any_text_comes_back_exactly(text: str, extra: dict[str, int]) -> None:
    row = encode(HumanMessage(text, additional_kwargs=extra), VALUES)
    assert "\0" not in row.content + (row.extra or "")
    assert decode(row, VALUES) == HumanMessage(text, additional_kwargs=extra)


def test_plain_text_stands_in_the_column_as_it_is() -> None:
    """So that SQL can search it; blocks are JSON."""
    row = encode(MESSAGES[0], VALUES)
    assert (row.role, row.content_kind, row.content, row.extra) == ("user", PLAIN_TEXT, "plain", None)
    assert encode(MESSAGES[3], VALUES).content_kind == BLOCKS


def test_only_lists_of_known_messages_are_rows() -> None:
    class Mine(HumanMessage):
        pass

    assert is_message_list([])
    assert is_message_list(MESSAGES)
    for other in (None, "text", tuple(MESSAGES), [*MESSAGES, "text"], [Mine(content="x")]):
        assert not is_message_list(other)


def test_messages_that_stay_are_not_encoded_again() -> None:
    """The row is the same one, also when it moved; a message changed in place gets another."""
    messages: list[BaseMessage] = [message.model_copy(deep=True) for message in MESSAGES]
    rows = rows_for([], messages, VALUES)
    entries = [*enumerate(rows)]
    again = rows_for(entries, messages[1:], VALUES)
    same = [new is old for new, old in zip(again, rows[1:], strict=True)]
    assert same.count(False) == 1  # the one whose bytes are no JSON is compared as stored
    assert again == rows[1:]
    messages[4].additional_kwargs["x"][4]["y"] = "e"
    assert rows_for(entries, messages, VALUES)[4] != rows[4]


@pytest.mark.parametrize(
    "broken", [["pickle", "AAAA"], ["json", "e30="], ["msgpack", "!"], ["msgpack", "wQ=="], 5]
)
def test_what_was_not_written_by_us_is_refused(broken: Any) -> None:
    with pytest.raises(CorruptStateError):
        VALUES.load(broken)


def test_a_serializer_that_pickles_is_refused() -> None:
    checkpointer = PgCheckpointer(URL, None)
    with pytest.raises(ConfigurationError, match="allowed_types"):
        AgentFlowSaver(checkpointer, serde=JsonPlusSerializer(pickle_fallback=True))


def test_configs_are_checked() -> None:
    with pytest.raises(InvalidInputError, match="thread_id"):
        address_of({"configurable": {}})
    for wrong in ("x", "6E7B0C1E-0000-4000-8000-000000000000", ""):
        with pytest.raises(InvalidIdError):
            uuid_of(wrong)


def test_versions_grow_and_never_meet() -> None:
    """Larger than the one before, whatever kind that was, and different in each branch."""
    saver = AgentFlowSaver(PgCheckpointer(URL, None))
    first = saver.get_next_version(None, None)
    assert first < saver.get_next_version(first, None) < saver.get_next_version(17, None)
    assert saver.get_next_version(first, None) != saver.get_next_version(first, None)


def put(parent: str | None, seen: Seen | None, source: str = "loop") -> Put:
    return Put("t", "", parent, empty_checkpoint(), {"source": source}, {}, seen)


@pytest.mark.parametrize(
    ("parent", "seen_head", "source", "last", "exists", "expected"),
    [
        ("p", None, "loop", ("p", 5), True, True),  # the last one: always
        ("p", 3, "loop", ("p", 5), True, True),
        ("p", None, "loop", ("q", 5), True, False),  # overtaken, for all we know
        ("p", None, "fork", ("q", 5), True, True),  # in so many words
        ("p", 5, "input", ("q", 5), True, True),  # chosen, knowing the last one
        ("p", 4, "input", ("q", 5), True, False),  # chosen, not knowing it
        ("p", 4, "fork", ("q", 5), True, False),
        ("p", 5, "fork", ("q", 5), False, False),  # gone
        ("p", None, "fork", None, False, False),
        (None, None, "input", None, True, True),
        (None, None, "input", ("q", 5), True, True),  # nothing known: a new line
        (None, 0, "input", ("q", 5), True, False),  # it was empty when read
    ],
)
def test_what_may_follow(
    parent: str | None,
    seen_head: int | None,
    source: str,
    last: tuple[str, int] | None,
    exists: bool,
    expected: bool,
) -> None:
    seen = None if seen_head is None else Seen(1, {"": seen_head}, {("", parent): seen_head})
    assert may_follow(put(parent, seen, source), last, parent_exists=exists) is expected


def test_knowing_the_last_one_is_not_having_chosen_the_parent() -> None:
    """A run interleaved with another in one context is overtaken, though it saw the other's writes."""
    seen = Seen(1, {"": 9}, {("", "p"): 4, ("", "q"): 9})
    assert not may_follow(put("p", seen), ("r", 8), parent_exists=True)
    assert not may_follow(put("unread", seen), ("r", 8), parent_exists=True)
    assert may_follow(put("q", seen), ("r", 8), parent_exists=True)
    assert may_follow(put("unread", seen, "fork"), ("r", 8), parent_exists=True)


def test_without_the_extra_the_error_names_it() -> None:
    """And the library itself loads nothing of LangGraph."""
    program = (
        "import sys; import agentflow, agentflow.storage.checkpointer.postgres, agentflow.integrations;"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('langgraph', 'langchain_core')];"
        "sys.modules['langgraph'] = None\n"
        "try:\n import agentflow.integrations.langgraph\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 'pip install "agentflow[postgres,langgraph]"' in said.stdout
