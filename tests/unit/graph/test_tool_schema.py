"""What a model is shown of a function."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from agentflow.core.graph.tool_schema import Tool, ToolArgumentsError
from agentflow.core.state import AgentState
from agentflow.errors import GraphDefinitionError


class Place(BaseModel):
    city: str
    zone: str | None = None


def find(
    query: Annotated[str, Field(description="Words to look for.", min_length=2)],
    place: Place,
    state: AgentState,
    config: dict[str, Any],
    *,
    kind: Literal["near", "far"] = "near",
    limit: int = Field(10, ge=1, description="At most so many."),
) -> list[str]:
    """Find places.

    Nothing is stored.
    """
    return [query, place.city, kind, str(limit)]


def test_the_schema_shows_types_defaults_and_descriptions() -> None:
    """And not the parameters that the runtime fills in."""
    shown = Tool(find).as_openai()
    assert shown["type"] == "function"
    assert shown["function"]["name"] == "find"
    assert shown["function"]["description"] == "Find places.\n\nNothing is stored."
    parameters = shown["function"]["parameters"]
    assert list(parameters["properties"]) == ["query", "place", "kind", "limit"]
    assert parameters["required"] == ["query", "place"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["query"] == {
        "type": "string",
        "description": "Words to look for.",
        "minLength": 2,
    }
    assert parameters["properties"]["kind"] == {
        "type": "string",
        "enum": ["near", "far"],
        "default": "near",
    }
    assert parameters["properties"]["limit"] == {
        "type": "integer",
        "default": 10,
        "minimum": 1,
        "description": "At most so many.",
    }
    assert "title" not in parameters


def test_arguments_are_validated_with_defaults_filled_in() -> None:
    """Models are made; what the runtime fills in is added."""
    injected = {"state": 1, "config": 2, "tool_call_id": 3}
    given = Tool(find).arguments({"query": "pub", "place": {"city": "Oslo"}}, injected)
    expected = {"query": "pub", "place": Place(city="Oslo"), "kind": "near", "limit": 10}
    assert given == expected | {"state": 1, "config": 2}


def test_problems_are_named_as_the_model_knows_them() -> None:
    """All of them at once."""
    with pytest.raises(ToolArgumentsError) as caught:
        Tool(find).arguments({"query": "x", "place": {}, "limit": 0}, {})
    for problem in ("query: ", "place.city: Field required", "limit: Input should be greater"):
        assert problem in str(caught.value)


def test_parameters_may_have_any_name() -> None:
    """Also one that means something to the library beneath."""

    def odd(
        json: str, schema: int, title: str, model_config: str, _hidden: int, copy: dict[str, str]
    ) -> None:
        pass

    tool = Tool(odd)
    names = ["json", "schema", "title", "model_config", "_hidden", "copy"]
    assert list(tool.parameters["properties"]) == names
    given = {
        "json": "a",
        "schema": 1,
        "title": "b",
        "model_config": "c",
        "_hidden": 2,
        "copy": {"title": "d"},
    }
    assert tool.arguments(given, {}) == given


def test_a_default_that_is_no_json_is_kept_for_the_call_alone() -> None:
    """The model sees an optional argument."""
    nothing = object()

    def maybe(x: Any = nothing, names: dict[str, str] = {"title": "kept"}) -> None:  # noqa: B006 - never changed
        pass

    tool = Tool(maybe)
    assert tool.parameters["properties"]["x"] == {}
    assert tool.parameters["properties"]["names"]["default"] == {"title": "kept"}
    assert tool.arguments({}, {})["x"] is nothing


def test_methods_and_unannotated_functions_are_tools() -> None:
    """`self` is bound; an argument without a type takes anything."""

    class Box:
        def put(self, thing: str) -> str:
            return thing

    def free(anything):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return anything

    assert list(Tool(Box().put).parameters["properties"]) == ["thing"]
    assert Tool(free).arguments({"anything": [1]}, {}) == {"anything": [1]}


def by_position(a: int, /) -> int:
    return a


def many(*numbers: int) -> int:
    return sum(numbers)


def locked(lock: threading.Lock) -> None:
    pass


def größe() -> None:  # noqa: PLC2401 - that is what is tested
    pass


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (by_position, "by name"),
        (many, "by name"),
        (locked, "locked"),
        (größe, "letters"),
        (lambda: 1, "<lambda>"),
        (partial(max, 1), "name"),
        ("add", "name"),
    ],
)
def test_what_no_model_could_call_is_refused_when_the_graph_is_built(
    function: Callable[..., Any], told: str
) -> None:
    """With a word on what is wrong."""
    with pytest.raises(GraphDefinitionError, match=told):
        Tool(function)
