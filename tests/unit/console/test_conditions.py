"""What a form of the threads page asks the API for."""

from typing import Any

import pytest

from agentflow_api.console.tenant.addresses import chat_address, thread_address
from agentflow_api.console.tenant.threads.conditions import ConditionError, Conditions, conditions_in


def test_only_what_was_typed_is_asked_for() -> None:
    asked = conditions_in({"text": " hello ", "sort": "thread_id", "unknown": "x"})
    assert asked.asked(None) == {"text": "hello", "sort": "thread_id", "limit": 25}
    assert asked.asked("c")["cursor"] == "c"
    assert not asked.is_any
    assert conditions_in({}).is_any


def test_an_unknown_order_is_the_usual_one() -> None:
    assert conditions_in({"sort": "evil"}).sort == "-updated_at"


def test_a_state_is_one_of_those_that_there_are() -> None:
    asked = conditions_in({"status": "interrupted"})
    assert asked.asked(None)["status"] == "interrupted"
    assert not asked.is_any
    assert asked.address() == "/console/threads?status=interrupted"
    assert conditions_in({"status": "evil"}).is_any


@pytest.mark.parametrize(
    ("text", "metadata"),
    [("team=red", {"team": "red"}), ("a = b=c", {"a": "b=c"}), ('{"n": 1}', {"n": 1})],
)
def test_metadata_as_a_pair_or_an_object(text: str, metadata: dict[str, Any]) -> None:
    assert Conditions(metadata=text).asked(None)["metadata"] == metadata


@pytest.mark.parametrize("text", ["team", "=red", '{"a"'])
def test_metadata_that_cannot_be_read_is_said_to_be_so(text: str) -> None:
    with pytest.raises(ConditionError, match="key=value"):
        Conditions(metadata=text).asked(None)


def test_a_day_begins_at_midnight_of_utc() -> None:
    assert Conditions(since="2026-03-01").asked(None)["updated_after"] == "2026-03-01T00:00:00Z"
    with pytest.raises(ConditionError, match="2026-03-01"):
        Conditions(since="yesterday").asked(None)


def test_a_page_keeps_its_conditions() -> None:
    asked = conditions_in({"text": "a&b", "user": "ü"})
    assert asked.address() == "/console/threads?text=a%26b&user=%C3%BC"
    assert asked.address("c/+") == "/console/threads?text=a%26b&user=%C3%BC&cursor=c%2F%2B"
    assert Conditions().address() == "/console/threads"


def test_addresses_of_any_id() -> None:
    """Ids hold what a path can carry, and more than it can carry plainly."""
    assert thread_address("tenant:user:1") == "/console/threads/tenant:user:1"
    assert thread_address("a b%<", at=3, before="x") == "/console/threads/a%20b%25%3C?at=3&before=x"
    assert thread_address("a", page="runs/r") == "/console/threads/a/runs/r"
    assert chat_address("a&b", "echo") == "/console/chat?thread=a%26b&agent=echo"
