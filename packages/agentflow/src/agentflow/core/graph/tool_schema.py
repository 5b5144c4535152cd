"""A function as a tool: the schema a model is shown, and the arguments it is called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from agentflow.errors import GraphDefinitionError

# Parameters that the runtime fills in; a model never sees them.
INJECTED: Final = ("state", "config", "tool_call_id")


class ToolArgumentsError(ValueError):
    """The arguments a model gave do not fit the tool; the text tells the model what to change."""


class Tool:
    """A function that a model may call.

    Attributes:
        name: The function's name.
        description: The start of its docstring.
        parameters: JSON schema of its arguments, the injected ones left out.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read the function's signature once.

        Raises:
            GraphDefinitionError: It is no function with a name, or takes *args.
        """
        if not getattr(function, "__name__", "") or not callable(function):
            raise GraphDefinitionError(f"A tool must be a function with a name, not {function!r}.")
        self.function = function
        self.name: str = function.__name__
        self.description = inspect.cleandoc(function.__doc__ or "")
        self._signature = inspect.signature(function)
        self._model = _arguments_model(self.name, function, self._signature)
        self.parameters = _without_titles(self._model.model_json_schema())

    def as_openai(self) -> dict[str, Any]:
        """The tool as OpenAI-compatible endpoints take it."""
        described = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": described}

    def arguments(self, given: Mapping[str, Any], injected: Mapping[str, Any]) -> dict[str, Any]:
        """Validated arguments to call the function with.

        Raises:
            ToolArgumentsError: They do not fit.
        """
        try:
            checked = self._model.model_validate(dict(given))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg']}"
                for problem in error.errors(include_url=False, include_input=False, include_context=False)
            )
            raise ToolArgumentsError(f"Invalid arguments for {self.name}: {problems}") from error
        arguments = {name: getattr(checked, name) for name in type(checked).model_fields}
        return arguments | {name: injected[name] for name in INJECTED if name in self._signature.parameters}


def _arguments_model(
    name: str, function: Callable[..., Any], signature: inspect.Signature
) -> type[BaseModel]:
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # an annotation under TYPE_CHECKING: the argument is then not checked
        hints = {}
    fields: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise GraphDefinitionError(f"Tool {name!r} must take its arguments by name.")
        if parameter.name in INJECTED or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints.get(parameter.name, Any), Field(default=default))
    return create_model(name, __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=True), **fields)


def _without_titles(schema: Any) -> Any:
    """The schema without pydantic's generated titles, which only cost a model tokens."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    return schema
