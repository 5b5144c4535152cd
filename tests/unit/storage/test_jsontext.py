"""The fast encoder of dumped data says exactly what the strict one does, or refuses what that refuses."""

import dataclasses
import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import StateEncodingError
from agentflow.utils.jsontext import dumped_text, json_text

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["null", "NaN", "\ud800", "\0", "\u2028"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=12,
)


@dataclasses.dataclass
class Point:
    x: int = 1


def said(encode: Any, value: Any) -> Any:
    """What is read back, told from what only equals it; or that it was refused."""
    try:
        return repr(json.loads(encode(value, field="f")))
    except StateEncodingError:
        return StateEncodingError


@given(VALUES)
def test_both_encoders_say_the_same(value: Any) -> None:
    assert said(dumped_text, value) == said(json_text, value)


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.inf, None], {"a": {"b": -math.inf}}, {1, 2}, b"x", datetime.now(UTC), Point(), object()],
)
def test_what_is_not_data_is_refused(value: Any) -> None:
    with pytest.raises(StateEncodingError):
        dumped_text({"value": value}, field="f")


def test_integers_of_any_size_are_kept() -> None:
    assert json.loads(dumped_text([2**64, -(2**80), 2**53 + 1], field="f")) == [2**64, -(2**80), 2**53 + 1]


def test_an_endless_value_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(StateEncodingError):
        dumped_text(value, field="f")
