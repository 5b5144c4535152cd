"""A function as a tool: the schema a model is shown, and the arguments it is called with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from agentflow.errors import GraphDefinitionError

# Parameters that the runtime fills in; a model never sees them.
INJECTED: Final = ("state", "config", "tool_call_id", "tool_key")

# What OpenAI-compatible endpoints take as a name.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ToolArgumentsError(ValueError):
    """The arguments a model gave do not fit the tool; the text tells the model what to change."""


class Tool:
    """A function that a model may call.

    Attributes:
        name: The function's name.
        description: Its docstring.
        parameters: JSON schema of its arguments, the injected ones left out.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        """Read the function's signature once.

        Raises:
            GraphDefinitionError: It has no usable name, takes arguments that cannot be given by name,
                or a parameter's type has no JSON schema.
        """
        self.name = checked_name(getattr(function, "__name__", None), function)
        if not callable(function):
            raise GraphDefinitionError(f"A tool must be a function, not {function!r}.")
        self.function = function
        self.description = inspect.cleandoc(function.__doc__ or "")
        signature = inspect.signature(function)
        self._injected = [name for name in INJECTED if name in signature.parameters]
        try:
            self._model, self._names = _arguments_model(self.name, function, signature)
            self.parameters = self._model.model_json_schema(schema_generator=_Schema)
        except PydanticUserError as error:
            reason = str(error).splitlines()[0]
            raise GraphDefinitionError(
                f"Tool {self.name!r} has a parameter of a type that no JSON schema describes: {reason}"
            ) from error

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
        arguments = {parameter: getattr(checked, name) for name, parameter in self._names.items()}
        return arguments | {name: injected[name] for name in self._injected}


def checked_name(name: object, of: object) -> str:
    """A tool's name.

    Raises:
        GraphDefinitionError: Endpoints would refuse it.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise GraphDefinitionError(
            f"A tool needs a name of 1 to 64 letters, digits, '_' or '-', not {name!r}: {of!r}."
        )
    return name


class _Schema(GenerateJsonSchema):
    """Without generated titles, which only cost a model tokens, and without warnings."""

    # A default that is no JSON data is left out of the schema; the argument stays optional.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as the base has it

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def generate(self, schema: CoreSchema, mode: Any = "validation") -> dict[str, Any]:
        described = super().generate(schema, mode)
        described.pop("title", None)
        return described


def _arguments_model(
    name: str, function: Callable[..., Any], signature: inspect.Signature
) -> tuple[type[BaseModel], dict[str, str]]:
    """A model of the arguments, and its fields' names -> the parameters'."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # an annotation under TYPE_CHECKING: the argument is then not checked
        hints = {}
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            raise GraphDefinitionError(f"Tool {name!r} must take its arguments by name.")
        if parameter.name in INJECTED or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        if not isinstance(default, FieldInfo):  # `city: str = Field(description="...")` is one already
            default = Field(default=default)
        # The model's own names are neutral: a parameter may be called `json`, `schema` or `_x`.
        names[f"p{len(names)}"] = parameter.name
        fields[f"p{len(fields)}"] = (hints.get(parameter.name, Any), default)
    config = ConfigDict(extra="forbid", alias_generator=names.__getitem__)
    return create_model(name, __config__=config, **fields), names
