"""Messages as a page shows them, whatever is in them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agentflow_api.console.rendering import render
from agentflow_api.console.tenant.threads.messages import Part, said_of


def block(**fields: Any) -> list[Part]:
    return said_of({"role": "assistant", "content": [fields]}).parts


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"type": "text", "text": "hi"}, Part("text", "hi")),
        ({"type": "reasoning", "summary": "so"}, Part("reasoning", "so", "Reasoning")),
        ({"type": "tool_call", "name": "find", "args": [1]}, Part("code", "[\n  1\n]", "Calls find")),
        ({"type": "tool_result", "output": "done"}, Part("code", "done", "Result")),
        ({"type": "tool_result", "output": "no", "is_error": True}, Part("error", "no", "The tool failed")),
        ({"type": "error", "message": "bad"}, Part("error", "bad", "Error")),
        (
            {"type": "image", "media": {"url": "https://x.test/a.png", "mime_type": "image/png"}},
            Part("note", "https://x.test/a.png · image/png", "Image"),
        ),
        ({"type": "image", "media": None}, Part("note", "no file", "Image")),
        ({"type": "data", "of": 1}, Part("code", '{\n  "type": "data",\n  "of": 1\n}', "data")),
    ],
)
def test_a_block(fields: dict[str, Any], part: Part) -> None:
    assert block(**fields) == [part]


def test_calls_that_stand_beside_the_blocks_are_shown_once() -> None:
    call = {"id": "c1", "function": {"name": "find", "arguments": '{"a": 1}'}}
    [part] = said_of({"role": "assistant", "content": [], "tools_calls": [call]}).parts
    assert part == Part("code", '{\n  "a": 1\n}', "Calls find")
    inside = {"type": "tool_call", "id": "c1", "name": "find", "args": {"a": 1}}
    assert len(said_of({"role": "assistant", "content": [inside], "tools_calls": [call]}).parts) == 1


@pytest.mark.parametrize(("timestamp", "year"), [(1772366400.0, 2026), (1772366400000, 2026)])
def test_times_in_seconds_and_in_milliseconds(timestamp: float, year: int) -> None:
    assert said_of({"timestamp": timestamp}).at == datetime(year, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("timestamp", [None, "x", True, 1e300, float("nan")])
def test_no_time(timestamp: Any) -> None:
    assert said_of({"timestamp": timestamp}).at is None


def test_strange_messages_are_shown_all_the_same() -> None:
    """States come from clients: nothing in one breaks the page."""
    shown = said_of({"role": "<b>", "content": ["no block", {"type": None}], "usages": [1]})
    assert (shown.role, shown.who, shown.tokens) == ("other", "<b>", None)
    assert len(shown.parts) == 1


def test_long_texts_are_cut() -> None:
    [part] = block(type="text", text="x" * 100_000)
    assert len(part.text) < 21_000
    assert part.text.endswith("(100,000 characters)")


def test_what_only_a_tool_can_write() -> None:
    """JSON so deep that nobody reads it, and half of a surrogate pair: shown, and sent as UTF-8."""
    [deep] = block(type="tool_result", output="[" * 100_000)
    assert deep.text.startswith("[[[")
    [half] = block(type="tool_result", output='{"a": "\\ud800"}')
    shown = render("error.html", status=500, title="x", message=half.text, details=[], retry_after_s=None,
                   request_id="x", is_form=False, form_token="")  # fmt: skip
    assert shown.encode()
